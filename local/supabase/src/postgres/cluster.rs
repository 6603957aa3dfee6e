//! A private PostgreSQL cluster in a temporary directory, on a free port of 127.0.0.1.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use local_process::{Guardian, Signal, TemporaryDirectory, Watched};
use nix::unistd::{Gid, Uid, User};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;

/// The superuser. As on Supabase, it is not `postgres`.
const SUPERUSER: &str = "supabase_admin";

/// Timeout for PostgreSQL to start or stop.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Attempts to find a port: a free port may be taken before PostgreSQL binds it.
const ATTEMPTS: u32 = 5;

/// PostgreSQL's error while processes of the previous server still run.
const STILL_IN_USE: &str = "is still in use";

/// A running (or stopped) private cluster. Dropping it ends the server and removes the data.
pub(super) struct Cluster {
    server: Option<Running>,
    template: Option<Arc<Template>>,
    options: PgConnectOptions,
    port: u16,
    binaries: PathBuf,
    user: Option<(Uid, Gid)>,
    guardian: Guardian,
    // Last field: the data is removed after the server has ended.
    directory: TemporaryDirectory,
}

/// Source directory for new clusters.
pub(super) struct Template {
    binaries: PathBuf,
    password: String,
    directory: TemporaryDirectory,
}

struct Running {
    process: Child,
    _watched: Watched,
}

impl Cluster {
    /// Creates a cluster with the programs in `binaries`, as a copy of `template` or an empty one, and starts its server.
    ///
    /// # Errors
    /// If a program fails; the error contains its output.
    pub(super) async fn start(
        binaries: PathBuf,
        template: Option<Arc<Template>>,
        guardian: &Guardian,
    ) -> anyhow::Result<Self> {
        let user = unprivileged_user()?;
        let directory = private_directory(guardian, "local-postgres-", user, &temporary_directories())?;
        let mut cluster = Self {
            server: None,
            template: None,
            options: PgConnectOptions::new_without_pgpass(),
            port: 0,
            binaries,
            user,
            guardian: guardian.clone(),
            directory,
        };
        let template = match template {
            Some(template) => template,
            None => cluster.empty_template().await?,
        };
        let mut copy = cluster.command("cp");
        copy.arg("-Rp").arg(template.directory.join("data")).arg(cluster.data());
        output_of(copy).await?;
        cluster.options = cluster
            .options
            .host("127.0.0.1")
            .username(SUPERUSER)
            .password(&template.password)
            .database("postgres");
        cluster.template = Some(template);
        for attempt in 1.. {
            cluster.port = local_process::free_port()?;
            match cluster.launch().await {
                Ok(()) => break,
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!("PostgreSQL did not start, trying another port: {error:#}"),
            }
        }
        Ok(cluster)
    }

    /// Connection options of the superuser.
    #[must_use]
    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone().port(self.port)
    }

    /// Starts a stopped server again, on the same port and data.
    ///
    /// # Errors
    /// If the server does not start; the error contains its log.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.launch().await {
                // Processes of a killed server hold its shared memory until they notice.
                Err(error) if Instant::now() < deadline && format!("{error:#}").contains(STILL_IN_USE) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                launched => return launched,
            }
        }
    }

    /// Stops the server if it is running; the data stays. Open connections are closed.
    ///
    /// # Errors
    /// If the server does not stop in time.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(running) = self.server.as_mut() else { return Ok(()) };
        local_process::signal(running.process.id(), Signal::SIGINT)?;
        let deadline = Instant::now() + TIMEOUT;
        while running.process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("PostgreSQL did not stop within {} s", TIMEOUT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.server = None;
        Ok(())
    }

    /// Kills the server with `SIGKILL`, to emulate a crash: its memory is lost. Its processes exit when they
    /// notice.
    ///
    /// # Errors
    /// If waiting for the process fails.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.server.take() else { return Ok(()) };
        running.process.kill()?;
        running.process.wait()?;
        Ok(())
    }

    /// Stops the server, and returns the data as a template.
    ///
    /// # Errors
    /// If the server does not stop in time.
    pub(super) async fn into_template(mut self) -> anyhow::Result<Template> {
        self.stop().await?;
        let Self { template, binaries, directory, .. } = self;
        let password = template.map(|template| template.password.clone()).unwrap_or_default();
        Ok(Template { binaries, password, directory })
    }

    /// Returns a cluster that was never started. initdb takes half a second, for each of the many tests in a
    /// process: clusters that exist at the same time share one template.
    async fn empty_template(&self) -> anyhow::Result<Arc<Template>> {
        static LATEST: Mutex<Weak<Template>> = Mutex::const_new(Weak::new());
        let mut latest = LATEST.lock().await;
        let template = match latest.upgrade().filter(|template| template.binaries == self.binaries) {
            Some(template) => template,
            None => Arc::new(self.make_template().await?),
        };
        *latest = Arc::downgrade(&template);
        Ok(template)
    }

    async fn make_template(&self) -> anyhow::Result<Template> {
        let places = temporary_directories();
        let directory = private_directory(&self.guardian, "local-postgres-template-", self.user, &places)?;
        // Inside the directory that only this user and the server may enter.
        let password = uuid::Uuid::new_v4().simple().to_string();
        let password_file = directory.join("password");
        fs::write(&password_file, &password)?;
        change_owner(&password_file, self.user)?;
        let mut initdb = self.command("initdb");
        initdb.arg("--pgdata").arg(directory.join("data")).arg("--pwfile").arg(&password_file).args([
            "--username",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
            // In MB, instead of 16: each copy of a cluster has a few of these files.
            "--wal-segsize=1",
        ]);
        output_of(initdb).await?;
        fs::remove_file(password_file)?;
        Ok(Template { binaries: self.binaries.clone(), password, directory })
    }

    /// Starts the server on `self.port` and waits until it accepts connections.
    async fn launch(&mut self) -> anyhow::Result<()> {
        let log = self.directory.join("log");
        // A new file: processes of a killed server still write to the former one.
        match fs::remove_file(&log) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let output = File::create(&log)?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]).args([
            "-c",
            "listen_addresses=127.0.0.1",
            // No Unix socket: its directory would have to be short and writable.
            "-c",
            "unix_socket_directories=",
            // Committed data survives a killed server, because the kernel has it by then, but not a power
            // failure.
            "-c",
            "fsync=off",
            // The default depends on the segments' size.
            "-c",
            "max_wal_size=1GB",
            "-c",
            "shared_buffers=16MB",
            "-c",
            "max_connections=50",
            "-c",
            "timezone=UTC",
        ]);
        // Its own process group: Ctrl-C in the terminal is handled by this process.
        command.stdout(output.try_clone()?).stderr(output).process_group(0);
        let process = command.spawn().context("postgres did not run")?;
        // SIGQUIT is PostgreSQL's immediate shutdown.
        let watched = self.guardian.watch_process(process.id(), Signal::SIGQUIT)?;
        let mut running = Running { process, _watched: watched };
        let options = self.options();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match options.connect().await {
                Ok(connection) => {
                    PgConnection::close(connection).await?;
                    break;
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(error)
                        .with_context(|| format!("PostgreSQL does not respond: {}", tail(&log)));
                }
                Err(_) => {}
            }
            if let Some(status) = running.process.try_wait()? {
                bail!("PostgreSQL ended with {status}: {}", tail(&log));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.server = Some(running);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// A command, `cp` or a PostgreSQL program, run as a user that PostgreSQL accepts.
    fn command(&self, program: &str) -> Command {
        let mut command = match program {
            "cp" => Command::new(program),
            _ => Command::new(self.binaries.join(program)),
        };
        // The user may not have access to the current directory.
        command.current_dir(self.directory.path()).stdin(Stdio::null()).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }
}

impl Template {
    /// The programs that made it.
    #[must_use]
    pub(super) fn binaries(&self) -> &Path {
        &self.binaries
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = local_process::signal(self.process.id(), Signal::SIGQUIT);
            let _ = self.process.wait();
        }
    }
}

/// Candidates for the cluster's directory: PostgreSQL's user may not have access to root's temporary
/// directory.
fn temporary_directories() -> [PathBuf; 2] {
    [std::env::temp_dir(), PathBuf::from("/tmp")]
}

/// A directory owned by the user, in the first of `places` that the user may enter.
fn private_directory(
    guardian: &Guardian,
    prefix: &str,
    user: Option<(Uid, Gid)>,
    places: &[PathBuf],
) -> anyhow::Result<TemporaryDirectory> {
    for place in places {
        let directory = guardian
            .temporary_directory_in(place, prefix)
            .with_context(|| format!("cannot create a directory in {}", place.display()))?;
        change_owner(directory.path(), user)?;
        if user.is_none_or(|user| may_enter(directory.path(), user)) {
            return Ok(directory);
        }
    }
    let closed: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    bail!("{} is closed to the user that PostgreSQL runs as: set TMPDIR", closed.join(" and "))
}

/// Whether the user can start a process in `directory`.
fn may_enter(directory: &Path, (uid, gid): (Uid, Gid)) -> bool {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", ":"]).current_dir(directory).uid(uid.as_raw()).gid(gid.as_raw());
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn change_owner(path: &Path, user: Option<(Uid, Gid)>) -> anyhow::Result<()> {
    if let Some((uid, gid)) = user {
        nix::unistd::chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Runs a program to completion, off the runtime's threads.
async fn output_of(mut command: Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.with_context(|| format!("{program} did not run"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// PostgreSQL refuses to run as root: the user created by its package, or the user `nobody`.
fn unprivileged_user() -> anyhow::Result<Option<(Uid, Gid)>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some((user.uid, user.gid)));
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn inaccessible_directory_is_skipped() {
        let Some(user) = unprivileged_user().expect("a user") else { return };
        let guardian = Guardian::start().expect("a shell");
        let [closed, open] = [0o700, 0o755].map(|mode| {
            let place = tempfile::tempdir_in("/tmp").expect("a directory");
            fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).expect("ours");
            place
        });
        let [private, public] = [&closed, &open].map(|place| place.path().to_owned());
        let directory = private_directory(&guardian, "test-", Some(user), &[private.clone(), public.clone()]);
        assert_eq!(directory.expect("the open one").path().parent(), Some(public.as_path()));
        let error = private_directory(&guardian, "test-", Some(user), &[private]).expect_err("closed");
        assert!(error.to_string().ends_with("set TMPDIR"), "{error}");
        assert_eq!(fs::read_dir(closed.path()).expect("a directory").count(), 0);
    }
}
