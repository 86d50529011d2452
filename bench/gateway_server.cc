// A gateway in front of one engine that is there already (stream_server with a socket), for
// gateway_bench.
//
//   gateway_server SOCKET [CONNECTIONS=2048]
//
// Prints one JSON line (url), serves until standard input ends.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "base/json.h"
#include "base/log.h"
#include "serve/http_server.h"
#include "supervise/gateway.h"

namespace tutti {
namespace {

int serve(const std::string& socket, int32_t connections) {
  set_log_level(LogLevel::kWarn);  // a line per request is no part of the measurement
  auto gateway = std::make_shared<Gateway>();
  gateway->update({{.id = 1, .model = "steps", .state = ReplicaState::kReady, .socket = socket}});
  ServerConfig config;
  config.port = 0;
  config.limits.connections = connections + 64;
  config.limits.requests = connections + 64;
  config.remote = gateway;
  const auto server = HttpServer::start(config, std::make_shared<ServedModels>());
  if (!server.ok()) {
    std::fprintf(stderr, "gateway_server: %s\n", server.status().message().c_str());
    return 1;
  }
  std::cout << to_string(Json::object({{"url", (*server)->url()}})) << std::endl;
  while (std::getchar() != EOF) {
  }
  (*server)->stop();
  return 0;
}

}  // namespace
}  // namespace tutti

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc < 2) {
    std::fprintf(stderr, "usage: gateway_server SOCKET [CONNECTIONS]\n");
    return 64;
  }
  return tutti::serve(argv[1], argc > 2 ? std::atoi(argv[2]) : 2048);
}
