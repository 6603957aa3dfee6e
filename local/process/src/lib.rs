//! Processes, files and directories that must not outlive us, however we end.
//!
//! A [`Guardian`] is a small shell process that holds the other end of a pipe. As long as the pipe is
//! open it does nothing. When it closes, because we returned, panicked or were killed with `SIGKILL`,
//! it ends every process and removes every file and directory that was not released before.
//! A parent-death signal (`PR_SET_PDEATHSIG`) would do the first half, on Linux only, and is bound to
//! the thread that called `fork`.

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

/// Watches over processes, files and directories; clones share one shell process.
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
        // The shell ends by itself; waiting for it means that nothing is left when we return.
        let _ = self.shell.wait();
    }
}

impl Guardian {
    /// Starts the shell process.
    ///
    /// # Errors
    /// When `/bin/sh` cannot be started.
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

    /// Ends process `pid` with `signal` (after five seconds with `SIGKILL`) unless the returned guard
    /// was dropped before: drop it when the process is known to have ended.
    ///
    /// # Errors
    /// When the shell process is gone.
    pub fn watch_process(&self, pid: u32, signal: Signal) -> io::Result<Watched> {
        self.watch(format!("process {pid} {}", name(signal)))
    }

    /// Ends a whole process group with `signal` (after five seconds with `SIGKILL`): a process that was made
    /// its leader, and all that it starts.
    ///
    /// # Errors
    /// When the shell process is gone.
    pub fn watch_group(&self, leader: u32, signal: Signal) -> io::Result<WatchedGroup> {
        let entry = format!("group {leader} {}", name(signal)).into_bytes();
        self.tell(&entry)?;
        Ok(WatchedGroup { guardian: self.clone(), entry, leader, signal, released: false })
    }

    /// A new private directory under the system's temporary one, removed when dropped or when we end.
    ///
    /// # Errors
    /// When it cannot be created or the shell process is gone.
    pub fn temporary_directory(&self, prefix: &str) -> io::Result<TemporaryDirectory> {
        self.temporary_directory_in(&std::env::temp_dir(), prefix)
    }

    /// A new private directory under `parent`, removed when dropped or when we end.
    ///
    /// # Errors
    /// When it cannot be created or the shell process is gone.
    pub fn temporary_directory_in(&self, parent: &Path, prefix: &str) -> io::Result<TemporaryDirectory> {
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        let watched = self.watch(line("directory ", directory.path()))?;
        Ok(TemporaryDirectory { directory, _watched: watched })
    }

    /// Writes a file that only our user may read, in one go: who waits for it never reads half of it. What was
    /// there is replaced. It is removed when the result is dropped or when we end, unless somebody else has put
    /// another file in its place.
    ///
    /// # Errors
    /// When it cannot be written or the shell process is gone.
    pub fn private_file(&self, path: &Path, content: &[u8]) -> io::Result<PrivateFile> {
        let path = std::path::absolute(path)?;
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        // With mode 0600.
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
        // Without a shell process there is no list.
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

/// One entry of the guardian's list; dropping it takes the entry off.
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

/// A process group on the guardian's list. Dropping it sends the signal, and the guardian makes the group end
/// when it ends itself.
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
    /// Takes the group off the list: its work is known to be done.
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

/// A file that is removed when this is dropped, or when the process that owns it ends.
#[derive(Debug)]
pub struct PrivateFile {
    path: PathBuf,
    // Open, so that no other file gets its inode.
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

/// A directory that is removed when this is dropped, or when the process that owns it ends.
#[derive(Debug)]
pub struct TemporaryDirectory {
    // Removed first, then taken off the list.
    directory: tempfile::TempDir,
    _watched: Watched,
}

impl TemporaryDirectory {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path inside it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Sends `signal` to process `pid`; a process that has ended already is not an error.
///
/// # Errors
/// When the process belongs to somebody else.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let Ok(pid) = i32::try_from(pid) else { return Err(io::ErrorKind::InvalidInput.into()) };
    match nix::sys::signal::kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// As `kill -s` takes it.
fn name(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

/// A line for the shell process that ends with a path, which need not be UTF-8.
fn line(start: &str, path: &Path) -> Vec<u8> {
    [start.as_bytes(), path.as_os_str().as_bytes()].concat()
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
