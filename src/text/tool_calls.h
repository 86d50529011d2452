// Finds tool calls in the answer of a model while it streams. One parser for all families; what the
// marks are and what stands between them comes from the table in markup.h.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/markup.h"

namespace tutti {

struct ToolCall {
  std::string id;  ///< empty unless the model writes ids itself
  std::string name;
  std::string arguments;  ///< JSON text of an object, the model's own where it wrote JSON

  bool operator==(const ToolCall&) const = default;
};

struct ToolCallPiece {
  std::string content;
  std::vector<ToolCall> calls;
};

/// One per generated sequence. The result does not depend on how the text was cut into pieces. A
/// call comes out when it is complete and its arguments are a JSON object; what only looks like a
/// call stays content, unchanged to the byte, with its marks and the white space around it. White
/// space next to calls is dropped, and so are the marks of a section that has calls.
class ToolCallParser {
 public:
  /// `tools`: the request's tools, for the types of arguments that are not written as JSON; may be
  /// nullptr. Both must outlive the parser.
  ToolCallParser(const ToolCallMarkup& markup, const Json* tools);

  /// Takes the next text of any size. Holds back a begun call, what may be the beginning of a mark,
  /// and white space that may precede one.
  ToolCallPiece push(std::string_view text);

  /// The text held back, at the end of the output. A last call needs no closing mark.
  ToolCallPiece finish();

  /// Calls so far.
  int64_t calls() const { return calls_; }

 private:
  enum class State {
    kText,     ///< outside of calls
    kSection,  ///< between the calls of a section
    kCall,     ///< inside a call
    kWhole,    ///< the answer may be nothing but calls: it is judged at its end
  };

  void advance(ToolCallPiece& out);
  bool take_text(ToolCallPiece& out);
  bool take_section(ToolCallPiece& out);
  bool take_call(ToolCallPiece& out);
  bool begin_whole(ToolCallPiece& out);
  void end_section(std::string_view raw, ToolCallPiece& out);
  void take_whole(ToolCallPiece& out);
  void end_call(std::string_view body, std::string_view raw, ToolCallPiece& out);
  void add_text(std::string_view text, ToolCallPiece& out);

  const ToolCallMarkup& markup_;
  const Json* tools_;
  State state_;
  size_t find_mark(const std::string& mark) const;
  size_t find_call_close();

  std::string held_;
  std::string skipped_;      // space and marks before a call: text after all if it is none
  size_t searched_ = 0;      // of held_: no whole mark begins before
  bool quoted_ = false;      // at searched_: inside a JSON string of a call
  int64_t section_ = 0;      // calls before this section
  bool after_call_ = false;  // white space is dropped until text comes
  int64_t calls_ = 0;
};

/// What stands between the marks of one call as a call; an error says what is wrong with it.
Result<ToolCall> parse_call_body(const ToolCallMarkup& markup,
                                 std::string_view body,
                                 const Json* tools);

/// The objects of an answer that is nothing but calls (CallBody::kWhole). Without the opening mark
/// they are calls only if `tools` declare their names and they have arguments: an answer may be
/// JSON too.
Result<std::vector<ToolCall>> parse_whole_answer(const ToolCallMarkup& markup,
                                                 std::string_view text,
                                                 const Json* tools);

}  // namespace tutti
