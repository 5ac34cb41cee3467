//! A control group of the kernel's, of either version, for one test: what bounds the processor or the memory of a service.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// See the head of this file.
pub struct Group {
    folder: PathBuf,
    is_second: bool,
}

impl Group {
    /// A group below our own (or beside it, where processes are in the way) that bounds `controller`; `None`: this machine
    /// lets nobody make one.
    pub fn new(controller: &str) -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mount = |wanted: &dyn Fn(&str, &str) -> bool| {
            mounts.lines().find_map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                wanted(words[2], words[3]).then(|| PathBuf::from(words[1]))
            })
        };
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = |second: bool| {
            let mut entries = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            let is_ours =
                |names: &str| if second { names.is_empty() } else { names.split(',').any(|name| name == controller) };
            entries.find(|(names, _)| is_ours(names)).map(|(_, path)| path.trim_start_matches('/').to_owned())
        };
        let first = mount(&|kind, options| kind == "cgroup" && options.split(',').any(|option| option == controller));
        let second = mount(&|kind, _| kind == "cgroup2");
        let below_first = first.and_then(|root| Some((root.join(path(false)?), false)));
        let below_second = second.and_then(|root| Some((root.join(path(true)?), true)));
        let candidates = below_first.into_iter().chain(below_second).flat_map(|(own, second)| {
            let beside = own.parent().map(Path::to_path_buf);
            std::iter::once(own).chain(beside).map(move |folder| (folder, second))
        });
        candidates.into_iter().find_map(|(folder, second)| Group::below(&folder, controller, second))
    }

    fn below(parent: &Path, controller: &str, is_second: bool) -> Option<Group> {
        if is_second {
            // refused where the controller is the other version's, or processes are in the way
            fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}")).ok()?;
        }
        let folder = parent.join(format!("haetae-{controller}-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        Some(Group { folder, is_second })
    }

    /// Takes a process in, with all its threads and all that it starts.
    pub fn take_in(&self, process: &str) {
        fs::write(self.folder.join("cgroup.procs"), process).expect("a process is taken in");
    }

    fn put(&self, file: &str, text: &str) -> std::io::Result<()> {
        fs::write(self.folder.join(file), text)
    }

    fn get(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }

    /// So many percent of one processor, in tenths of a second; `None`: as much as there is.
    pub fn processor(&self, percent: Option<u32>) {
        let time = percent.map(|percent| percent * 1_000);
        let put = match (self.is_second, time) {
            (true, Some(time)) => self.put("cpu.max", &format!("{time} 100000")),
            (true, None) => self.put("cpu.max", "max 100000"),
            (false, Some(time)) => self.put("cpu.cfs_quota_us", &time.to_string()),
            (false, None) => self.put("cpu.cfs_quota_us", "-1"),
        };
        put.expect("a quota");
    }

    /// How often, and for how long, its processes had to wait for their next tenth of a second.
    pub fn throttled(&self) -> String {
        let stat = self.get("cpu.stat");
        stat.lines().filter(|line| line.contains("throttled")).collect::<Vec<_>>().join(", ")
    }

    /// Memory that it may hold, in bytes.
    ///
    /// # Errors
    /// It holds more, and cannot let it go (version 1; by version 2 the kernel then ends a process).
    pub fn memory_max(&self, bytes: u64) -> std::io::Result<()> {
        self.put(if self.is_second { "memory.max" } else { "memory.limit_in_bytes" }, &bytes.to_string())
    }

    /// Memory that it holds, in bytes.
    pub fn memory(&self) -> u64 {
        let text = self.get(if self.is_second { "memory.current" } else { "memory.usage_in_bytes" });
        text.trim().parse().expect("a number")
    }

    /// Processes that were ended for want of memory.
    pub fn killed(&self) -> u64 {
        let text = self.get(if self.is_second { "memory.events" } else { "memory.oom_control" });
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("{text}"))
    }

    /// What the kernel says of how it went: the events, or how often the bound was met.
    pub fn memory_events(&self) -> String {
        if self.is_second {
            return self.get("memory.events").trim().replace('\n', ", ");
        }
        format!(
            "failcnt {}, {}",
            self.get("memory.failcnt").trim(),
            self.get("memory.oom_control").trim().replace('\n', ", ")
        )
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let until = Instant::now() + Duration::from_secs(2);
        // the last of its processes is on its way out
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
