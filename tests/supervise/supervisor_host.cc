// A program that supervises fake engines, to be killed by a test:
// supervisor_host FAKE_ENGINE DIRECTORY. Prints the number of the engine's process once it is
// ready.
#include <cstdio>

#include <unistd.h>

#include "supervise/engine_processes.h"

int main(int argc, char** argv) {
  using namespace tutti;
  if (argc != 3) {
    return 64;
  }
  auto supervisor = Supervisor::start(tutti::testing::fake_engines(argv[1], argv[2]));
  if (!supervisor.ok()) {
    return 1;
  }
  (*supervisor)->launch({.model = "fake", .arguments = {"ready"}});
  pid_t pid = 0;
  const bool ready = tutti::testing::wait_until([&] {
    const auto replicas = (*supervisor)->replicas();
    pid = replicas.front().pid;
    return replicas.front().state == ReplicaState::kReady;
  });
  std::printf("%d\n", ready ? pid : 0);
  std::fflush(stdout);
  pause();
  return 0;
}
