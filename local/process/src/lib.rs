//! Processes, files and directories that must not outlive this process, even after `SIGKILL`.
//!
//! A [`Guardian`] is a small shell process that holds the other end of a pipe. It waits while the pipe is
//! open. When the pipe closes, because our process returned, panicked or was killed with `SIGKILL`, the
//! guardian ends every process and removes every file and directory that was not released before. A
//! parent-death signal (`PR_SET_PDEATHSIG`) covers processes only, on Linux only, and is bound to the thread
//! that called `fork`.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Guards processes, files and directories; clones share one shell process.
#[derive(Clone, Debug)]
pub struct Guardian {
    pipe: Arc<Mutex<Pipe>>,
}

#[derive(Debug)]
struct Pipe {
    stdin: Option<ChildStdin>,
    shell: Child,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.stdin.take();
        // The shell exits by itself; waiting for it ensures that nothing is left afterwards.
        let _ = self.shell.wait();
    }
}

impl Guardian {
    /// Starts the shell process.
    ///
    /// # Errors
    /// If `/bin/sh` cannot be started.
    pub fn start() -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(include_str!("guardian.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own process group: Ctrl-C in the terminal and `kill -- -GROUP` must not reach it.
            .process_group(0)
            .spawn()?;
        let stdin = shell.stdin.take();
        Ok(Self { pipe: Arc::new(Mutex::new(Pipe { stdin, shell })) })
    }

    /// Ends process `pid` with `signal` (after five seconds with `SIGKILL`) unless the returned guard was
    /// dropped before. Drop the guard once the process is known to have ended.
    ///
    /// # Errors
    /// If the shell process has ended.
    pub fn watch_process(&self, pid: u32, signal: Signal) -> io::Result<Watched> {
        self.watch(format!("process {pid} {}", name(signal)))
    }

    /// Ends a whole process group with `signal` (after five seconds with `SIGKILL`): the leader and its
    /// descendants.
    ///
    /// # Errors
    /// If the shell process has ended.
    pub fn watch_group(&self, leader: u32, signal: Signal) -> io::Result<WatchedGroup> {
        let entry = format!("group {leader} {}", name(signal)).into_bytes();
        self.tell(&entry)?;
        Ok(WatchedGroup { guardian: self.clone(), entry, leader, signal, released: false })
    }

    /// A new private directory under the system's temporary directory, removed on drop or when this process
    /// ends.
    ///
    /// # Errors
    /// If the directory cannot be created or the shell process has ended.
    pub fn temporary_directory(&self, prefix: &str) -> io::Result<TemporaryDirectory> {
        self.temporary_directory_in(&std::env::temp_dir(), prefix)
    }

    /// A new private directory under `parent`, removed on drop or when this process ends.
    ///
    /// # Errors
    /// If the directory cannot be created or the shell process has ended.
    pub fn temporary_directory_in(&self, parent: &Path, prefix: &str) -> io::Result<TemporaryDirectory> {
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        let watched = self.watch(line("directory ", directory.path()))?;
        Ok(TemporaryDirectory { directory, _watched: watched })
    }

    /// Writes a file with mode 0600 atomically: a concurrent reader never sees a partial file. An existing
    /// file is replaced. The file is removed on drop or when this process ends, unless it has been replaced
    /// since.
    ///
    /// # Errors
    /// If the file cannot be written or the shell process has ended.
    pub fn private_file(&self, path: &Path, content: &[u8]) -> io::Result<PrivateFile> {
        let path = std::path::absolute(path)?;
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        // Created with mode 0600.
        let mut partial = tempfile::Builder::new().prefix(".partial-").tempfile_in(directory)?;
        let inode = partial.as_file().metadata()?.ino();
        let entry = |path: &Path| line(&format!("file {inode} "), path);
        let _partial = self.watch(entry(partial.path()))?;
        partial.write_all(content)?;
        let watched = self.watch(entry(&path))?;
        let file = partial.persist(&path)?;
        Ok(PrivateFile { path, file, _watched: watched })
    }

    fn watch(&self, entry: impl Into<Vec<u8>>) -> io::Result<Watched> {
        let entry = entry.into();
        self.tell(&entry)?;
        Ok(Watched { guardian: self.clone(), entry })
    }

    fn release(&self, entry: &[u8]) {
        // Without a shell process there is no list to release from.
        let _ = self.tell(&[b"release ", entry].concat());
    }

    fn tell(&self, line: &[u8]) -> io::Result<()> {
        if line.contains(&b'\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a line break in a path"));
        }
        let mut pipe = self.lock();
        let Some(stdin) = pipe.stdin.as_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        stdin.write_all(&[line, b"\n"].concat())?;
        stdin.flush()
    }

    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One entry of the guardian's list; dropping it removes the entry.
#[derive(Debug)]
#[must_use = "dropping it takes the process off the guardian's list"]
pub struct Watched {
    guardian: Guardian,
    entry: Vec<u8>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.guardian.release(&self.entry);
    }
}

/// A process group on the guardian's list. Dropping it sends the signal; if the group is still running when
/// this process ends, the guardian ends it.
#[derive(Debug)]
#[must_use = "dropping it ends the processes"]
pub struct WatchedGroup {
    guardian: Guardian,
    entry: Vec<u8>,
    leader: u32,
    signal: Signal,
    released: bool,
}

impl WatchedGroup {
    /// Removes the group from the list, for a group whose work is done.
    pub fn release(mut self) {
        self.released = true;
        self.guardian.release(&self.entry);
    }
}

impl Drop for WatchedGroup {
    fn drop(&mut self) {
        if !self.released
            && let Ok(leader) = i32::try_from(self.leader)
        {
            let _ = nix::sys::signal::killpg(Pid::from_raw(leader), self.signal);
        }
    }
}

/// A file that is removed on drop, or when the owning process ends.
#[derive(Debug)]
pub struct PrivateFile {
    path: PathBuf,
    // Kept open, so that no other file gets the same inode.
    file: File,
    _watched: Watched,
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        let inode = |metadata: io::Result<Metadata>| metadata.map(|metadata| metadata.ino()).ok();
        if inode(self.file.metadata()) == inode(std::fs::symlink_metadata(&self.path)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A directory that is removed on drop, or when the owning process ends.
#[derive(Debug)]
pub struct TemporaryDirectory {
    // Field order: the directory is removed first, then its entry on the list.
    directory: tempfile::TempDir,
    _watched: Watched,
}

impl TemporaryDirectory {
    /// Path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Path of an entry in the directory.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Sends `signal` to process `pid`; an already ended process is not an error.
///
/// # Errors
/// If the process belongs to another user.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let Ok(pid) = i32::try_from(pid) else { return Err(io::ErrorKind::InvalidInput.into()) };
    match nix::sys::signal::kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Signal name for `kill -s`.
fn name(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

/// An input line of the shell process that ends with a path, which need not be UTF-8.
fn line(start: &str, path: &Path) -> Vec<u8> {
    [start.as_bytes(), path.as_os_str().as_bytes()].concat()
}

/// A currently free TCP port of 127.0.0.1.
///
/// # Errors
/// If no port is free.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
