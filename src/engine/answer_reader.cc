#include "engine/answer_reader.h"

#include <algorithm>
#include <utility>

namespace tutti {

namespace {

std::string_view without_first_line_ends(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}

}  // namespace

AnswerReader::AnswerReader(const OutputForm& form, bool whole)
    : form_(form),
      whole_(whole),
      watching_(form.reasoning != nullptr && !form.reasoning_open && !form.reasoning_closed) {
  if (form_.calls != nullptr) {
    parser_.emplace(*form_.calls, form_.tools.get());
  }
}

void AnswerReader::push(std::string_view text, OutputEvents& out) {
  if (watching_) {
    watch(text, out);
  } else {
    read(text, out);
  }
}

// `text` goes on after what was watched.
void AnswerReader::watch(std::string_view text, OutputEvents& out) {
  const std::string& mark = form_.reasoning->close;
  const size_t from = watched_.size() - std::min(watched_.size(), mark.size() - 1);
  watched_ += text;
  const size_t found = watched_.find(mark, from);
  if (!whole_) {
    read(text, out);
  }
  if (found != std::string::npos) {
    watching_ = false;
    found_close_ = true;
    if (whole_) {
      split(found, out);
    }
    watched_.clear();
  } else if (!whole_) {
    watched_.erase(0, watched_.size() - std::min(watched_.size(), mark.size() - 1));
  }
}

// Such reasoning loses the line ends that other reasoning loses.
void AnswerReader::split(size_t mark, OutputEvents& out) {
  const std::string_view all = watched_;
  std::string_view reasoning = without_first_line_ends(all.substr(0, mark));
  reasoning = reasoning.substr(0, reasoning.find_last_not_of('\n') + 1);
  add_text(out, OutputEvent::Kind::kReasoning, reasoning);
  drop_line_ends_ = true;
  read(all.substr(mark + form_.reasoning->close.size()), out);
}

void AnswerReader::read(std::string_view text, OutputEvents& out) {
  if (drop_line_ends_) {
    text = without_first_line_ends(text);
    drop_line_ends_ = text.empty();
  }
  if (parser_.has_value()) {
    tell(parser_->push(text), out);
  } else {
    add_text(out, OutputEvent::Kind::kText, text);
  }
}

void AnswerReader::finish(OutputEvents& out) {
  if (watching_ && whole_) {
    watching_ = false;
    read(std::exchange(watched_, {}), out);
  }
  if (parser_.has_value()) {
    tell(parser_->finish(), out);
  }
}

void AnswerReader::tell(ToolCallPiece piece, OutputEvents& out) {
  using Kind = OutputEvent::Kind;
  add_text(out, Kind::kText, piece.content);
  for (ToolCall& call : piece.calls) {
    if (form_.one_call && calls_ > 0) {
      return;
    }
    const auto event = [&](Kind kind) -> OutputEvent& {
      return out.emplace_back(
          OutputEvent{.kind = kind, .text = {}, .call = calls_, .id = {}, .name = {}});
    };
    OutputEvent& begin = event(Kind::kCallBegin);
    begin.id = std::move(call.id);
    begin.name = std::move(call.name);
    event(Kind::kCallArguments).text = std::move(call.arguments);
    event(Kind::kCallEnd);
    ++calls_;
  }
}

}  // namespace tutti
