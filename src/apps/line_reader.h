// Where the lines of a chat come from: the line editor, a terminal that knows no editing, or a
// pipe.
#pragma once
#include <memory>
#include <string>

namespace tutti {

/// Not thread-safe. Ctrl-C is what InterruptGuard counts, so one must live.
class LineReader {
 public:
  enum class End {
    kLine,       ///< `text` is one; from the editor it may hold newlines, of a paste
    kInterrupt,  ///< Ctrl-C; what had been typed is gone
    kEnd,        ///< end of the input: Ctrl-D, or a pipe that is empty
  };

  struct Line {
    End end = End::kEnd;
    std::string text;  ///< as typed: any bytes but the newline at its end
  };

  LineReader() = default;
  virtual ~LineReader() = default;
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// Blocks. Interrupts that came before do not count.
  virtual Line read(const std::string& prompt) = 0;

  /// Keeps a line for the arrow keys of this chat and of later ones.
  virtual void remember(const std::string& /*text*/) {}

  /// Leaves the terminal as it was found; for a process that ends without destructors.
  virtual void restore_terminal() {}
};

/// Standard input, written prompts on standard error. The editor if both are a terminal that can
/// move its cursor (TERM says so); `history_file`: of the editor, "" for none.
std::unique_ptr<LineReader> make_line_reader(const std::string& history_file);

/// Whether somebody types.
bool at_terminal();

}  // namespace tutti
