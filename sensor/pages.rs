//! Huge pages and prefetch: the wall around the `unsafe` that tables need.
//!
//! In: a length and a value. Out: [`Pages`], a slice that never moves or grows, on huge pages where the kernel has
//! them; and [`prefetch`], a hint. Never here: a table's logic, an address that a caller made up.
#![allow(unsafe_code)] // the one room for it outside the capture backend; each block says why it is sound

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// What the kernel backs by one translation entry on x86-64 and 64-bit ARM with 4 KiB base pages.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// One cache line of eight words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line(pub [u64; 8]);

/// A slice of fixed length on huge pages, written whole before anybody sees it.
pub struct Pages<T: Copy> {
    first: NonNull<T>,
    len: usize,
}

// SAFETY: `Pages` owns its memory alone, as `Box<[T]>` does; sharing it is sharing a `[T]`.
unsafe impl<T: Copy + Send> Send for Pages<T> {}
// SAFETY: as above; all mutation goes through `&mut`.
unsafe impl<T: Copy + Sync> Sync for Pages<T> {}

impl<T: Copy> Pages<T> {
    /// `len` times `value`. Memory is touched here, so that no packet pays for the first touch.
    pub fn filled(len: usize, value: T) -> Self {
        let Some(layout) = layout::<T>(len) else { return Pages { first: NonNull::dangling(), len: 0 } };
        // SAFETY: `layout` has a size above zero.
        let Some(first) = NonNull::new(unsafe { alloc(layout) }.cast::<T>()) else { handle_alloc_error(layout) };
        advise(first.cast(), layout);
        for at in 0..len {
            // SAFETY: `layout` has room for `len` values and the alignment of `T`; `at` is below `len`.
            unsafe { first.add(at).write(value) };
        }
        Pages { first, len }
    }
}

/// Room for `len` values; whole huge pages from one huge page on. `None`: nothing to hold.
fn layout<T>(len: usize) -> Option<Layout> {
    let exact = Layout::array::<T>(len).expect("a table fits the address space");
    match exact.size() {
        0 => None,
        1..HUGE_PAGE_BYTES => Some(exact),
        size => {
            let align = exact.align().max(HUGE_PAGE_BYTES);
            Layout::from_size_align(size.next_multiple_of(HUGE_PAGE_BYTES), align).ok()
        }
    }
}

/// Asks for huge pages. A kernel that has none to give serves small ones: slower, never wrong.
#[cfg(target_os = "linux")]
fn advise(first: NonNull<u8>, layout: Layout) {
    use rustix::mm::{Advice, madvise};
    if layout.align() >= HUGE_PAGE_BYTES {
        // SAFETY: the range was just allocated with this layout, starts and ends on page boundaries, and this advice
        // never changes what memory holds.
        let _ = unsafe { madvise(first.as_ptr().cast(), layout.size(), Advice::LinuxHugepage) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_first: NonNull<u8>, _layout: Layout) {}

impl<T: Copy> Drop for Pages<T> {
    fn drop(&mut self) {
        if let Some(layout) = layout::<T>(self.len) {
            // SAFETY: the same length gives the same layout that the memory was allocated with; `T: Copy` needs no drop.
            unsafe { dealloc(self.first.as_ptr().cast(), layout) };
        }
    }
}

impl<T: Copy> Deref for Pages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values were written at `first` (or `len` is 0 and `first` dangles aligned), and live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` is the only way here.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T: Copy> Default for Pages<T> {
    fn default() -> Self {
        Pages { first: NonNull::dangling(), len: 0 }
    }
}

/// Asks for huge pages under room that a vector has reserved and not touched yet.
#[cfg(target_os = "linux")]
pub fn advise_huge<T>(room: &mut [MaybeUninit<T>]) {
    use rustix::mm::{Advice, madvise};
    let bytes = std::mem::size_of_val(room);
    let first = room.as_mut_ptr().cast::<u8>();
    let skipped = first.align_offset(HUGE_PAGE_BYTES);
    let whole = bytes.saturating_sub(skipped) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if whole > 0 {
        // SAFETY: `skipped + whole` is at most `bytes`, so the range lies inside the room that is borrowed; it starts and
        // ends on page boundaries, and this advice never changes what memory holds.
        let _ = unsafe { madvise(first.add(skipped).cast(), whole, Advice::LinuxHugepage) };
    }
}

/// Elsewhere pages are as the system gives them.
#[cfg(not(target_os = "linux"))]
pub fn advise_huge<T>(_room: &mut [MaybeUninit<T>]) {}

/// Tells the processor that the value at `index` is wanted soon. An index out of bounds is no hint at all.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    let Some(value) = slice.get(index) else { return };
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the pointer comes from a reference; a prefetch reads nothing that the program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// As [`prefetch`], but all lines of a value that is longer than one.
#[inline(always)]
pub fn prefetch_whole<T>(slice: &[T], index: usize) {
    let Some(value) = slice.get(index) else { return };
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = std::ptr::from_ref(value).cast::<i8>();
        for offset in (0..size_of::<T>()).step_by(64) {
            // SAFETY: the pointer stays inside the value that the reference points to; a prefetch reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(first.add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_what_they_were_filled_with() {
        let mut pages = Pages::filled(100_000, Line([7; 8]));
        pages[99_999].0[3] = 9;
        assert_eq!(pages.len(), 100_000);
        assert_eq!(pages[99_999].0, [7, 7, 7, 9, 7, 7, 7, 7]);
        assert!(pages[..99_999].iter().all(|line| *line == Line([7; 8])));
    }

    #[test]
    fn a_big_table_starts_on_a_huge_page_and_a_small_one_on_its_line() {
        let big = Pages::filled(1 << 19, 1_u64);
        assert_eq!(big.as_ptr().addr() % HUGE_PAGE_BYTES, 0);
        let small = Pages::filled(3, Line::default());
        assert_eq!(small.as_ptr().addr() % 64, 0);
    }

    #[test]
    fn nothing_is_a_table_too_and_hints_out_of_bounds_are_harmless() {
        let none: Pages<u64> = Pages::filled(0, 1);
        assert!(none.is_empty());
        prefetch(&none, 0);
        prefetch(&Pages::filled(2, 1_u8), 7);
    }
}
