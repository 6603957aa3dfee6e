//! Processes and directories that must not outlive us, however we end.
//!
//! A [`Guardian`] is a small shell process that holds the other end of a pipe. As long as the pipe is
//! open it does nothing. When it closes, because we returned, panicked or were killed with `SIGKILL`,
//! it ends every process and removes every directory that was not released before.
//! A parent-death signal (`PR_SET_PDEATHSIG`) would do the first half, on Linux only, and is bound to
//! the thread that called `fork`.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Watches over processes and directories; clones share one shell process.
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
        self.tell(format_args!("process {pid} {}", signal.as_str().trim_start_matches("SIG")))?;
        Ok(Watched { guardian: self.clone(), what: pid.to_string() })
    }

    /// A new private directory under the system's temporary one, removed when dropped or when we end.
    ///
    /// # Errors
    /// When it cannot be created or the shell process is gone.
    pub fn temporary_directory(&self, prefix: &str) -> io::Result<TemporaryDirectory> {
        let directory = tempfile::Builder::new().prefix(prefix).tempdir()?;
        self.tell(format_args!("directory {}", directory.path().display()))?;
        let watched = Watched { guardian: self.clone(), what: directory.path().display().to_string() };
        Ok(TemporaryDirectory { directory, _watched: watched })
    }

    fn tell(&self, line: impl Display) -> io::Result<()> {
        let mut pipe = self.lock();
        let Some(stdin) = pipe.stdin.as_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        writeln!(stdin, "{line}")?;
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
    what: String,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.guardian.tell(format_args!("release {}", self.what));
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

/// A TCP port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
