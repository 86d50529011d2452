// A server over a fake model, for clients that need a real process: fake_server [PORT]. Prints its
// URL, serves until standard input ends.
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/log.h"
#include "http/fake_language_model.h"
#include "serve/http_server.h"

int main(int argc, char** argv) {
  using namespace tutti;
  testing::FakeLanguageModel::Options options;
  options.step = std::chrono::milliseconds(2);
  auto models = std::make_shared<ServedModels>();
  const Status added = models->add(std::make_shared<testing::FakeLanguageModel>(options));
  ServerConfig config;
  config.port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  auto server = HttpServer::start(config, models);
  if (!added.ok() || !server.ok()) {
    log_error("{}", server.status().message());
    return 1;
  }
  std::cout << (*server)->url() << std::endl;
  while (std::getchar() != EOF) {
  }
  return 0;
}
