//! The processes of one function: idle processes, waiting callers, process starts.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use local_process::{Guardian, Signal};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::FunctionConfig;
use crate::error::InvokeError;
use crate::instance::Instance;
use crate::logs::LogSink;
use crate::runtime_api::{FunctionError, RuntimeApi};

/// Backoff after the first failed start; doubled after each further failure.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// After this many consecutive processes without work, a new one is started on demand only.
const EAGER_RESTARTS: u32 = 3;
/// Time between `SIGTERM` and `SIGKILL`.
const GRACE: Duration = Duration::from_secs(2);

type Waiter = oneshot::Sender<Result<Arc<Instance>, InvokeError>>;

/// State shared by the handle of the function and its tasks.
#[derive(Debug)]
pub(crate) struct Pool {
    pub config: FunctionConfig,
    guardian: Guardian,
    logs: LogSink,
    state: Mutex<State>,
    stopped: watch::Sender<bool>,
    /// Processes that exist or are starting.
    alive: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    /// Environment variables that were changed since the start.
    changed_env: BTreeMap<String, String>,
    /// The last process with an older environment: it and those before it get no more work.
    last_outdated: u64,
    processes: BTreeMap<u64, Process>,
    idle: Vec<Arc<Instance>>,
    /// Callers without a process, first come, first served.
    waiting: VecDeque<Waiter>,
    /// Number of tasks that are starting a process.
    starting: usize,
    /// Number of processes that have responded and are about to poll again.
    finishing: usize,
    /// Number of consecutive processes that ended without any work.
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Process {
    instance: Arc<Instance>,
    initialised: bool,
    had_work: bool,
}

impl State {
    fn initialised(&self) -> usize {
        self.processes.values().filter(|process| process.initialised).count()
    }

    fn failed(&mut self) {
        let delay = FIRST_DELAY.saturating_mul(1 << self.failures.min(10)).min(LONGEST_DELAY);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + delay);
    }

    /// Gives an idle process to the longest waiting caller, or puts it in the idle list; ends an outdated one.
    fn hand_over(&mut self, instance: Arc<Instance>) {
        if instance.id <= self.last_outdated {
            return instance.signal(Signal::SIGTERM);
        }
        while let Some(waiter) = self.waiting.pop_front() {
            if waiter.send(Ok(Arc::clone(&instance))).is_ok() {
                return self.has_work(&instance);
            }
        }
        self.idle.push(instance);
    }

    fn has_work(&mut self, instance: &Instance) {
        if let Some(process) = self.processes.get_mut(&instance.id) {
            process.had_work = true;
        }
    }
}

impl Pool {
    pub(crate) fn new(config: FunctionConfig, guardian: Guardian, logs: LogSink) -> Arc<Self> {
        Arc::new(Self {
            config,
            guardian,
            logs,
            state: Mutex::default(),
            stopped: watch::Sender::new(false),
            alive: watch::Sender::new(0),
        })
    }

    /// An idle process for exclusive use, started if necessary.
    ///
    /// The future must not be dropped before completion: the pool could lose a process.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Arc<Instance>, InvokeError> {
        let receiver = {
            let mut state = self.lock();
            if self.is_stopped() {
                return Err(InvokeError::Shutdown);
            }
            while let Some(instance) = state.idle.pop() {
                if instance.is_alive() {
                    state.has_work(&instance);
                    return Ok(instance);
                }
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            self.start_missing(&mut state);
            receiver
        };
        receiver.await.unwrap_or(Err(InvokeError::Shutdown))
    }

    /// Records that a process has responded; `finished` must follow.
    pub(crate) fn answered(&self) {
        let mut state = self.lock();
        // The process works: the next start needs no delay.
        state.failures = 0;
        state.not_before = None;
        // A new caller should wait for this process instead of starting another one.
        state.finishing += 1;
    }

    /// Records that a process that had responded polls again, or has ended.
    pub(crate) fn finished(self: &Arc<Self>, instance: Arc<Instance>, polls: bool) {
        self.lock().finishing -= 1;
        if polls {
            self.release(instance);
        }
        let mut state = self.lock();
        if !self.is_stopped() {
            self.start_missing(&mut state);
        }
    }

    /// Returns an idle process to the pool.
    pub(crate) fn release(&self, instance: Arc<Instance>) {
        let mut state = self.lock();
        if state.processes.contains_key(&instance.id) && !self.is_stopped() {
            state.hand_over(instance);
        }
    }

    /// Changes environment variables for invocations from now on. Those in progress end in their processes.
    pub(crate) fn change_env(&self, variables: BTreeMap<String, String>) {
        let mut state = self.lock();
        state.changed_env.extend(variables);
        state.last_outdated = state.last_id;
        for instance in state.idle.drain(..) {
            instance.signal(Signal::SIGTERM);
        }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        let state = self.lock();
        state.processes.values().filter(|process| process.initialised).map(|p| p.instance.pid).collect()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Ends all processes and waits for their exit.
    pub(crate) async fn stop(&self) {
        self.refuse(Signal::SIGTERM);
        let mut alive = self.alive.subscribe();
        if timeout(GRACE, alive.wait_for(|alive| *alive == 0)).await.is_err() {
            self.refuse(Signal::SIGKILL);
            let _ = alive.wait_for(|alive| *alive == 0).await;
        }
    }

    /// Rejects further work and sends `signal` to every process.
    pub(crate) fn refuse(&self, signal: Signal) {
        let mut state = self.lock();
        self.stopped.send_replace(true);
        for waiter in state.waiting.drain(..) {
            let _ = waiter.send(Err(InvokeError::Shutdown));
        }
        state.idle.clear();
        for process in state.processes.values() {
            process.instance.signal(signal);
        }
    }

    /// Starts one process per waiting caller, within the limit.
    fn start_missing(self: &Arc<Self>, state: &mut State) {
        while state.starting + state.finishing < state.waiting.len()
            && state.starting + state.initialised() < self.config.max_instances
        {
            self.start_another(state);
        }
    }

    fn start_another(self: &Arc<Self>, state: &mut State) {
        state.starting += 1;
        self.count(state);
        let not_before = state.not_before;
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(not_before) = not_before {
                let mut stopped = pool.stopped.subscribe();
                tokio::select! {
                    () = sleep_until(not_before) => {}
                    _ = stopped.wait_for(|stopped| *stopped) => {}
                }
            }
            let started = pool.start_instance().await;
            pool.started(started);
        });
    }

    async fn start_instance(self: &Arc<Self>) -> Result<Arc<Instance>, InvokeError> {
        let api = RuntimeApi::start(self.config.arn())
            .await
            .map_err(|error| cannot_start("Runtime.InvalidEntrypoint", &error))?;
        let instance = {
            let mut state = self.lock();
            if self.is_stopped() {
                return Err(InvokeError::Shutdown);
            }
            state.last_id += 1;
            let id = state.last_id;
            let pool = Arc::clone(self);
            let on_end = move || pool.ended(id);
            let mut config = self.config.clone();
            config.env.extend(state.changed_env.clone());
            let instance = Instance::spawn(id, api, &config, &self.guardian, &self.logs, on_end)
                .map_err(|error| cannot_start("Runtime.InvalidEntrypoint", &error))?;
            let process = Process { instance: Arc::clone(&instance), initialised: false, had_work: false };
            state.processes.insert(id, process);
            self.count(&state);
            instance
        };
        match instance.initialised(self.config.init_timeout).await {
            Ok(()) => Ok(instance),
            Err(_) if self.is_stopped() => Err(InvokeError::Shutdown),
            Err(FunctionError { error_type, error_message }) => {
                Err(InvokeError::Init { error_type, error_message })
            }
        }
    }

    /// Records the result of a starting task.
    fn started(self: &Arc<Self>, result: Result<Arc<Instance>, InvokeError>) {
        let mut state = self.lock();
        state.starting -= 1;
        self.count(&state);
        let error = match result {
            Ok(instance) => match state.processes.get_mut(&instance.id) {
                Some(process) => {
                    process.initialised = true;
                    state.hand_over(instance);
                    // Callers still wait if the environment was changed meanwhile.
                    return self.start_missing(&mut state);
                }
                None => cannot_start("Runtime.ExitError", &"the process ended after its first poll"),
            },
            Err(error) => error,
        };
        if self.is_stopped() {
            return;
        }
        tracing::warn!(function = self.config.name, %error, "no process could be started");
        state.failed();
        // One start serves one caller. While another process works, the other callers wait for that one.
        if state.initialised() == 0
            && let Some(waiter) = state.waiting.pop_front()
        {
            let _ = waiter.send(Err(error));
        }
        self.start_missing(&mut state);
    }

    /// Records the end of a process.
    fn ended(self: &Arc<Self>, id: u64) {
        let mut state = self.lock();
        let process = state.processes.remove(&id);
        state.idle.retain(|instance| instance.id != id);
        self.count(&state);
        // A process that never polled is reported by the task that started it.
        let Some(Process { initialised: true, had_work, .. }) = process else { return };
        if self.is_stopped() {
            return;
        }
        if !had_work && id > state.last_outdated {
            state.failed();
        }
        self.start_missing(&mut state);
        // A function that was running keeps one process ready.
        if state.starting + state.initialised() == 0 && state.failures < EAGER_RESTARTS {
            self.start_another(&mut state);
        }
    }

    fn count(&self, state: &State) {
        self.alive.send_replace(state.processes.len() + state.starting);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cannot_start(error_type: &str, error: &dyn Display) -> InvokeError {
    InvokeError::Init { error_type: error_type.to_owned(), error_message: error.to_string() }
}
