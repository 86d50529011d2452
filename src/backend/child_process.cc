#include "backend/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLetGo{2000};  // for a killed child to vanish
constexpr milliseconds kPollInterval{5};

// The reading end of the child's standard output.
class Pipe {
 public:
  Pipe() { failed_ = pipe2(ends_.data(), O_CLOEXEC) != 0; }

  ~Pipe() {
    close_end(0);
    close_end(1);
  }

  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  bool failed() const { return failed_; }

  int reading() const { return ends_[0]; }

  int writing() const { return ends_[1]; }

  void close_writing() { close_end(1); }

 private:
  void close_end(size_t end) {
    if (ends_[end] >= 0) {
      close(ends_[end]);
      ends_[end] = -1;
    }
  }

  std::array<int, 2> ends_{-1, -1};
  bool failed_ = false;
};

// errno, or 0 and the process in `pid`.
int spawn(const std::vector<std::string>& command, int output, pid_t& pid) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const int code =
      posix_spawn(&pid, command.front().c_str(), &files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return code;
}

// How the child ended, once it has; nothing if it has not by `deadline`.
std::optional<ChildEnd> reap(pid_t pid, Clock::time_point deadline) {
  for (;;) {
    int status = 0;
    const pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid) {
      return WIFSIGNALED(status) ? ChildEnd{ChildEnd::How::kSignal, WTERMSIG(status)}
                                 : ChildEnd{ChildEnd::How::kExited, WEXITSTATUS(status)};
    }
    if (got < 0 && errno != EINTR) {
      return ChildEnd{};  // SIGCHLD is ignored: the kernel has reaped it
    }
    if (Clock::now() >= deadline) {
      return std::nullopt;
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

enum class Heard { kEnough, kAll, kTimeout };

// Reads lines until the child closes its output or `on_line` has heard enough.
Heard listen(int fd,
             Clock::time_point deadline,
             const std::function<bool(std::string_view line)>& on_line) {
  std::string pending;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      return Heard::kTimeout;
    }
    pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, static_cast<int>(std::min<int64_t>(left, 60'000))) <= 0) {
      continue;
    }
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) {
      return Heard::kAll;
    }
    pending.append(buffer.data(), static_cast<size_t>(got));
    for (size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      if (!on_line(line)) {
        return Heard::kEnough;
      }
    }
  }
}

}  // namespace

ChildEnd run_child(const std::vector<std::string>& command,
                   milliseconds limit,
                   const std::function<bool(std::string_view line)>& on_line) {
  Pipe pipe;
  pid_t pid = 0;
  if (const int code = pipe.failed() ? errno : spawn(command, pipe.writing(), pid); code != 0) {
    return {ChildEnd::How::kNotStarted, code};
  }
  pipe.close_writing();
  const Clock::time_point deadline = Clock::now() + limit;
  const Heard heard = listen(pipe.reading(), deadline, on_line);
  if (heard == Heard::kAll) {
    if (const std::optional<ChildEnd> end = reap(pid, deadline)) {
      return *end;
    }
  }
  kill(pid, SIGKILL);
  reap(pid, Clock::now() + kLetGo);
  return {heard == Heard::kEnough ? ChildEnd::How::kStopped : ChildEnd::How::kTimeout, 0};
}

}  // namespace tutti
