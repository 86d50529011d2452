// A child process that cannot be left behind: a process group of its own, a signal when its parent
// dies, pipes for what it says, and a kill of the whole group when it ends.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/status.h"

namespace tutti {

/// An open file descriptor.
class Descriptor {
 public:
  Descriptor() = default;

  explicit Descriptor(int fd) : fd_(fd) {}

  ~Descriptor() { close(); }

  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }

  bool open() const { return fd_ >= 0; }

  void close();

 private:
  int fd_ = -1;
};

struct ChildSpec {
  std::string program;                   ///< path
  std::vector<std::string> arguments;    ///< without the program's name
  std::vector<std::string> environment;  ///< "NAME=value", all of them
};

/// Where the child finds the pipe for what it tells its parent (engine_report.h).
inline constexpr int kReportDescriptor = 3;

class ChildProcess {
 public:
  /// Standard input is empty, output and errors go into one pipe, descriptor 3 is another; nothing
  /// else that is open here is open there. It gets SIGKILL when the *thread* that started it ends,
  /// which must therefore live as long as this process. kUnavailable: it could not be started.
  static Result<ChildProcess> start(const ChildSpec& spec);

  /// Kills and waits, if it still runs.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }

  /// To read from, without blocking.
  const Descriptor& log() const { return log_; }

  const Descriptor& reports() const { return reports_; }

  /// To the child and what it has started.
  void signal(int number) const;

  /// The status of wait(2) if it has ended; whatever is left of its group is killed first. Then
  /// there is nothing more to signal or to wait for. Does not block.
  std::optional<int> reap();

 private:
  ChildProcess(pid_t pid, Descriptor log, Descriptor reports)
      : pid_(pid), log_(std::move(log)), reports_(std::move(reports)) {}

  void end();

  pid_t pid_ = -1;  // -1: reaped
  Descriptor log_;
  Descriptor reports_;
};

}  // namespace tutti
