#include "supervise/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tutti {

namespace {

std::string text_of(int number) {
  return std::generic_category().message(number);
}

struct Pipe {
  Descriptor read;
  Descriptor write;
};

Result<Pipe> make_pipe(int flags) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC | flags) != 0) {
    return error(StatusCode::kUnavailable, "cannot make a pipe ({})", text_of(errno));
  }
  return Pipe{.read = Descriptor(ends[0]), .write = Descriptor(ends[1])};
}

Status without_blocking(const Descriptor& descriptor) {
  return fcntl(descriptor.get(), F_SETFL, O_NONBLOCK) == 0
             ? ok_status()
             : error(StatusCode::kUnavailable, "cannot set up a pipe ({})", text_of(errno));
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) {
    out.push_back(const_cast<char*>(word.c_str()));  // NOLINT: execve() does not write to them
  }
  out.push_back(nullptr);
  return out;
}

// What the child needs between fork() and execve(), where nothing may allocate.
struct Plan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  pid_t parent;
  int input;
  int log;
  int reports;
  int failure;
  rlim_t most_descriptors;
};

constexpr int kFailureDescriptor = 4;

// To `to`, also if it is that already, and open after execve() then.
bool move_to(int from, int to) {
  return from == to ? fcntl(to, F_SETFD, 0) == 0 : dup2(from, to) == to;
}

void close_from(int first, rlim_t end) {
  if (close_range(static_cast<unsigned>(first), ~0U, 0) != 0) {
    for (rlim_t fd = static_cast<rlim_t>(first); fd < end; ++fd) {
      close(static_cast<int>(fd));
    }
  }
}

// What the parent has done to signals is not the child's: it begins as any program does. What the
// parent's parent had it ignore stays ignored.
void default_signals() {
  struct sigaction action {};

  action.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &action, nullptr);
  sigset_t none{};
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run_child(const Plan& plan) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != plan.parent) {
    _exit(1);  // it died before that
  }
  // The sources are all above the targets (see start()), so that none is overwritten before its
  // turn.
  const bool moved = move_to(plan.input, STDIN_FILENO) && move_to(plan.log, STDOUT_FILENO) &&
                     move_to(plan.log, STDERR_FILENO) && move_to(plan.reports, kReportDescriptor) &&
                     dup3(plan.failure, kFailureDescriptor, O_CLOEXEC) == kFailureDescriptor;
  if (moved) {
    close_from(kFailureDescriptor + 1, plan.most_descriptors);
    default_signals();
    execve(plan.program, plan.arguments, plan.environment);
  }
  const int why = errno;
  const ssize_t told = write(moved ? kFailureDescriptor : plan.failure, &why, sizeof why);
  _exit(told == sizeof why ? 127 : 126);
}

// A copy above the numbers that run_child() moves things to.
Result<Descriptor> above_targets(const Descriptor& descriptor) {
  const int copy = fcntl(descriptor.get(), F_DUPFD_CLOEXEC, kFailureDescriptor + 1);
  if (copy < 0) {
    return error(StatusCode::kUnavailable, "cannot copy a descriptor ({})", text_of(errno));
  }
  return Descriptor(copy);
}

rlim_t most_descriptors() {
  constexpr rlim_t kMost = 1 << 20;
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? std::min(limit.rlim_cur, kMost) : kMost;
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Descriptor::close() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

Result<ChildProcess> ChildProcess::start(const ChildSpec& spec) {
  TUTTI_TRY(Pipe log, make_pipe(0));
  TUTTI_TRY(Pipe reports, make_pipe(0));
  TUTTI_TRY(Pipe failure, make_pipe(0));
  TUTTI_RETURN_IF_ERROR(without_blocking(log.read));
  TUTTI_RETURN_IF_ERROR(without_blocking(reports.read));
  const Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  TUTTI_TRY(const Descriptor input, above_targets(nothing));
  TUTTI_TRY(const Descriptor log_end, above_targets(log.write));
  TUTTI_TRY(const Descriptor reports_end, above_targets(reports.write));
  TUTTI_TRY(Descriptor failure_end, above_targets(failure.write));
  std::vector<std::string> arguments{spec.program};
  arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
  const std::vector<char*> argv = pointers_to(arguments);
  const std::vector<char*> envp = pointers_to(spec.environment);
  const Plan plan{.program = spec.program.c_str(),
                  .arguments = argv.data(),
                  .environment = envp.data(),
                  .parent = getpid(),
                  .input = input.get(),
                  .log = log_end.get(),
                  .reports = reports_end.get(),
                  .failure = failure_end.get(),
                  .most_descriptors = most_descriptors()};
  const pid_t pid = fork();
  if (pid < 0) {
    return error(StatusCode::kUnavailable, "cannot start a process ({})", text_of(errno));
  }
  if (pid == 0) {
    run_child(plan);
  }
  setpgid(pid, pid);  // also here, so that signal() reaches it from now on
  ChildProcess child(pid, std::move(log.read), std::move(reports.read));
  failure.write.close();
  failure_end.close();  // the last one to write here: what is read next is the child alone
  int why = 0;
  ssize_t got = 0;
  do {
    got = read(failure.read.get(), &why, sizeof why);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof why) {
    return error(StatusCode::kUnavailable, "cannot start {} ({})", spec.program, text_of(why));
  }
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      log_(std::move(other.log_)),
      reports_(std::move(other.reports_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
    log_ = std::move(other.log_);
    reports_ = std::move(other.reports_);
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  end();
}

void ChildProcess::end() {
  if (pid_ > 0) {
    signal(SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }
}

void ChildProcess::signal(int number) const {
  if (pid_ > 0) {
    kill(-pid_, number);
  }
}

std::optional<int> ChildProcess::reap() {
  if (pid_ <= 0) {
    return std::nullopt;
  }
  // Looked at before it is taken: while it is a zombie its number cannot be anybody else's, and its
  // group can be killed safely.
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return std::nullopt;
  }
  signal(SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

}  // namespace tutti
