//! Where flows lie: in blocks that never move, cut from huge pages that all shards of a worker share: a shard alone is too
//! small for one.

use std::marker::PhantomData;

use crate::pages;

const BLOCK: usize = 64;

/// Blocks cut from one piece of memory: some MiB of addresses, of which only what is used is ever touched.
const CHUNK_BLOCKS: usize = 1_024;

/// The memory of all shards of a worker.
pub(crate) struct Blocks<T> {
    /// Each has its whole capacity from the beginning, so that nothing in it ever moves.
    chunks: Vec<Vec<T>>,
    made: u32,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Blocks { chunks: Vec::new(), made: 0 }
    }
}

impl<T: Default> Blocks<T> {
    /// A new block's number.
    fn make(&mut self) -> u32 {
        if self.made as usize == self.chunks.len() * CHUNK_BLOCKS {
            let mut chunk = Vec::with_capacity(CHUNK_BLOCKS * BLOCK);
            pages::advise_huge(chunk.spare_capacity_mut());
            self.chunks.push(chunk);
        }
        let chunk = &mut self.chunks[self.made as usize / CHUNK_BLOCKS];
        chunk.resize_with(chunk.len() + BLOCK, T::default);
        self.made += 1;
        self.made - 1
    }
}

/// What one shard has in it, by number.
pub(crate) struct Slab<T> {
    /// Numbers of its blocks, in the order of what lies in them.
    blocks: Vec<u32>,
    free: Vec<u32>,
    /// How many numbers were ever given out.
    made: u32,
    of: PhantomData<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { blocks: Vec::new(), free: Vec::new(), made: 0, of: PhantomData }
    }
}

impl<T: Default> Slab<T> {
    /// How many numbers were ever given out: all are below.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// How many are in use.
    pub(crate) fn len(&self) -> usize {
        self.made as usize - self.free.len()
    }

    pub(crate) fn get<'a>(&self, blocks: &'a Blocks<T>, number: u32) -> &'a T {
        let (chunk, at) = self.place(number);
        &blocks.chunks[chunk][at]
    }

    pub(crate) fn get_mut<'a>(&self, blocks: &'a mut Blocks<T>, number: u32) -> &'a mut T {
        let (chunk, at) = self.place(number);
        &mut blocks.chunks[chunk][at]
    }

    /// Fetches what has that number.
    pub(crate) fn fetch(&self, blocks: &Blocks<T>, number: u32) {
        let (chunk, at) = self.place(number);
        pages::prefetch_whole(&blocks.chunks[chunk], at);
    }

    /// The number under which it lies from now on.
    pub(crate) fn put(&mut self, blocks: &mut Blocks<T>, value: T) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.made as usize == self.blocks.len() * BLOCK {
                self.blocks.push(blocks.make());
            }
            self.made += 1;
            self.made - 1
        });
        *self.get_mut(blocks, number) = value;
        number
    }

    /// Takes it out; its number is given again.
    pub(crate) fn take(&mut self, blocks: &mut Blocks<T>, number: u32) -> T {
        self.free.push(number);
        std::mem::take(self.get_mut(blocks, number))
    }

    /// Its chunk and where in it.
    fn place(&self, number: u32) -> (usize, usize) {
        let block = self.blocks[number as usize / BLOCK] as usize;
        (block / CHUNK_BLOCKS, block % CHUNK_BLOCKS * BLOCK + number as usize % BLOCK)
    }
}
