// From the text of an answer to events: tool calls, and reasoning that nothing opened. What is
// marked as reasoning and what stop strings cut off has been taken away before (choice_stream.h).
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/output.h"
#include "engine/prompt.h"
#include "text/tool_calls.h"

namespace tutti {

/// One per choice. A closing mark of reasoning without an opening one means that all
/// before it was reasoning. A reply that is shown whole is told so; a stream has shown the text by
/// then, and it stays text, mark included.
class AnswerReader {
 public:
  /// `whole`: nothing of the reply is shown before its end.
  AnswerReader(const OutputForm& form, bool whole);

  void push(std::string_view text, OutputEvents& out);

  /// Lets out what was held back.
  void finish(OutputEvents& out);

  /// Reasoning was marked after all: a closing mark in the answer is text.
  void expect_no_close() { watching_ = false; }

  /// A closing mark came that no opening one began.
  bool found_close() const { return found_close_; }

  /// Calls told so far.
  int32_t calls() const { return calls_; }

 private:
  void watch(std::string_view text, OutputEvents& out);
  void split(size_t mark, OutputEvents& out);
  void read(std::string_view text, OutputEvents& out);
  void tell(ToolCallPiece piece, OutputEvents& out);

  const OutputForm form_;  // parser_ points into it
  std::optional<ToolCallParser> parser_;
  const bool whole_;
  bool watching_;
  bool found_close_ = false;
  bool drop_line_ends_ = false;
  std::string watched_;  // whole: all of it; else what may begin the mark
  int32_t calls_ = 0;
};

}  // namespace tutti
