// Engine processes and the thread that starts them, listens to them, restarts and ends them
// (replica.h has the rules). When that thread or its process dies, however suddenly, so do they.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/status.h"
#include "supervise/replica.h"

namespace tutti {

struct EngineSpec {
  std::string model;                   ///< its name in the API
  std::vector<std::string> arguments;  ///< of the engine's command, without those of its socket
};

struct SupervisorConfig {
  std::string program;                   ///< path of the engines' program
  std::vector<std::string> environment;  ///< of engines, "NAME=value"
  std::string socket_directory;
  ReplicaTimes times;
  RestartRules rules;
  /// Starts an engine only when no other one plans or loads: each plans with the memory that is
  /// free, and must not count on what another is about to take.
  bool one_by_one = false;
  /// The arguments of an engine that is to listen on `socket`.
  std::function<std::vector<std::string>(const EngineSpec&, const std::string& socket)> arguments;
  // Both are called on the supervisor's thread, and must neither block nor call the supervisor's
  // functions that wait.
  std::function<void(const EngineSpec&, std::string_view line)> on_line;  ///< an engine wrote it
  std::function<void()> on_change;  ///< replicas() is not what it was
};

struct ReplicaView {
  uint64_t id = 0;
  std::string model;
  ReplicaState state = ReplicaState::kPending;
  Replica::Clock::time_point since;  ///< in this state
  std::string socket;                ///< path; "" while there is no process
  pid_t pid = 0;                     ///< 0: none
  int64_t done_bytes = 0;            ///< while it loads
  int64_t total_bytes = 0;
  int64_t max_context = 0;  ///< tokens, once it was ready
  int64_t created_unix = 0;
  std::string description;
  int64_t crashes = 0;
  Status last_error;                    ///< why its last process ended, ok while all is well
  std::vector<std::string> last_lines;  ///< what that process wrote last
};

class Supervisor {
 public:
  static Result<std::unique_ptr<Supervisor>> start(SupervisorConfig config);
  /// Kills what is left.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Starts an engine, and again whenever it crashes. Returns its number.
  uint64_t launch(EngineSpec spec);

  /// Has it finish its replies and end; then it is no more among replicas().
  void stop(uint64_t id);

  std::vector<ReplicaView> replicas() const;

  /// The last lines that the engine wrote, oldest first; empty if there is no such engine.
  std::vector<std::string> log(uint64_t id) const;

  /// Stops all, and returns once all are gone, at the latest when the time-outs of ending have
  /// passed for each.
  void shut_down();

 private:
  struct Impl;
  explicit Supervisor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti
