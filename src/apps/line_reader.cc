#include "apps/line_reader.h"

#include <cstdio>
#include <iostream>

#include <poll.h>
#include <unistd.h>

#include "apps/collector.h"
#include "apps/line_editor.h"

namespace tutti {

namespace {

/// False: an interrupt came before a line. A blocking read would miss one that comes just before
/// it.
bool wait_for_line() {
  constexpr int kLookMilliseconds = 100;
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (InterruptGuard::count() == 0) {
    if (poll(&input, 1, kLookMilliseconds) > 0) {
      return true;
    }
  }
  return false;
}

class PlainLineReader final : public LineReader {
 public:
  Line read(const std::string& prompt) override {
    InterruptGuard::reset();
    std::cerr << prompt << std::flush;
    std::string text;
    // A terminal gives whole lines, so that nothing of the next one has been read.
    if ((!at_terminal() || wait_for_line()) && std::getline(std::cin, text)) {
      return {.end = End::kLine, .text = std::move(text)};
    }
    std::cerr << "\n";
    if (InterruptGuard::count() == 0 || !at_terminal()) {
      return {};
    }
    std::clearerr(stdin);  // the interrupted read
    std::cin.clear();
    return {.end = End::kInterrupt, .text = ""};
  }
};

}  // namespace

bool at_terminal() {
  return isatty(STDIN_FILENO) == 1;
}

std::unique_ptr<LineReader> make_line_reader(const std::string& history_file) {
  if (std::unique_ptr<LineReader> editor = open_line_editor(history_file)) {
    return editor;
  }
  return std::make_unique<PlainLineReader>();
}

}  // namespace tutti
