// Splits model output into reasoning and answer while it streams. Which strings open and close
// reasoning comes from the table in markup.h.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "text/markup.h"

namespace tutti {

/// True if the prompt ends inside reasoning: the template itself wrote the opening mark, so the
/// output begins without one.
bool prompt_opens_reasoning(std::string_view rendered_prompt, const ReasoningMarkup& markup);

/// True if it ends with a closing mark: the template itself has said that there is no reasoning.
bool prompt_closes_reasoning(std::string_view rendered_prompt, const ReasoningMarkup& markup);

struct ReasoningPiece {
  std::string reasoning;
  std::string content;
};

/// One per generated sequence. Reasoning loses the line ends next to its marks, the answer those
/// after the closing mark. Without an opening mark at the start everything is content, but for a
/// closing mark right there; without a closing one everything is reasoning.
class ReasoningSplitter {
 public:
  /// `opened`: prompt_opens_reasoning() of the prompt.
  ReasoningSplitter(ReasoningMarkup markup, bool opened);

  /// Takes the next text of any size. Holds back only what may be the beginning of a mark, and line
  /// ends that may precede the closing one.
  ReasoningPiece push(std::string_view text);

  /// The text held back, at the end of the output.
  ReasoningPiece finish();

  /// True once a mark has come.
  bool saw_mark() const { return saw_mark_; }

  /// True while the next text is reasoning.
  bool in_reasoning() const { return state_ == State::kOpened || state_ == State::kReasoning; }

 private:
  enum class State {
    kStart,   ///< an opening mark may come, or a closing one
    kOpened,  ///< inside reasoning, nothing emitted; a second opening mark is dropped
    kReasoning,
    kContentStart,  ///< after the closing mark: line ends are dropped
    kContent,
  };

  void advance(ReasoningPiece& out);
  bool take_start();
  bool take_opened();
  void take_reasoning(ReasoningPiece& out);
  void add_reasoning(std::string_view text, ReasoningPiece& out);

  ReasoningMarkup markup_;
  State state_;
  std::string held_;
  size_t line_ends_ = 0;  // of reasoning, not emitted yet
  bool emitted_reasoning_ = false;
  bool saw_mark_ = false;
};

}  // namespace tutti
