#include "engine/constrain.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "grammar/tool_grammar.h"

namespace tutti {

Constrainer::Constrainer(std::shared_ptr<const TokenText> text,
                         int64_t vocab_size,
                         std::vector<int32_t> eos_ids)
    : text_(std::move(text)), vocab_size_(vocab_size), eos_ids_(std::move(eos_ids)) {}

// What ends the output is no text of it, whatever its bytes.
grammar::GrammarCompiler& Constrainer::compiler() {
  std::call_once(once_, [this] {
    std::vector<std::string> texts(static_cast<size_t>(vocab_size_));
    std::unordered_map<std::string, int32_t> special;
    for (int32_t id = 0; id < vocab_size_; ++id) {
      std::string& text = texts[static_cast<size_t>(id)];
      text = text_->token_bytes(id);
      if (text.empty()) {
        continue;
      }
      if (text_->is_special(id) || std::ranges::find(eos_ids_, id) != eos_ids_.end()) {
        special.emplace(text, id);
        text = grammar::special_token_text(id);
      } else if (text.find('\xFF') != std::string::npos) {
        text.clear();  // no text has this byte: it would be taken for a special token's
      }
    }
    compiler_ = std::make_unique<grammar::GrammarCompiler>(std::move(texts), std::move(special));
  });
  return *compiler_;
}

Result<std::shared_ptr<const TokenGrammar>> Constrainer::grammar_of(
    const OutputWish& wish, const OutputForm& form, std::span<const int32_t> stop_ids) {
  std::vector<int32_t> end_ids = eos_ids_;
  end_ids.insert(end_ids.end(), stop_ids.begin(), stop_ids.end());
  // Files may name ids that the model has no row for.
  std::erase_if(end_ids, [&](int32_t id) { return id < 0 || id >= vocab_size_; });
  grammar::Preamble preamble;
  if (form.reasoning != nullptr && !form.reasoning_closed) {
    preamble.open = form.reasoning_open ? "" : form.reasoning->open;
    preamble.close = form.reasoning->close;
    preamble.optional = !form.reasoning_open;
  }
  grammar::GrammarCompiler& grammars = compiler();
  if (form.calls == nullptr || form.tools == nullptr) {
    if (!wish.answer.has_value()) {
      return std::shared_ptr<const TokenGrammar>();
    }
    return grammars.compile(*wish.answer, preamble, std::move(end_ids));
  }
  const grammar::CallWish calls{.markup = form.calls,
                                .tools = wish.callable != nullptr ? wish.callable : form.tools,
                                .required = wish.calls_required,
                                .one_call = form.one_call};
  const grammar::GrammarSpec* answer = wish.answer.has_value() ? &*wish.answer : nullptr;
  const auto mark = [&](const std::string& text) { return grammars.mark(text); };
  return grammars.compile(
      calls.key() + (answer == nullptr ? "" : answer->key()),
      [&](grammar::Syntax& syntax) { return grammar::add_calls(calls, answer, mark, syntax); },
      preamble,
      std::move(end_ids));
}

}  // namespace tutti
