#include "engine/output.h"

#include <iterator>
#include <utility>

namespace tutti {

namespace {

template <class T>
void append_all(std::vector<T>& into, std::vector<T>&& from) {
  into.insert(
      into.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

void add_text(OutputEvents& events, OutputEvent::Kind kind, std::string_view text) {
  if (text.empty()) {
    return;
  }
  if (events.empty() || events.back().kind != kind) {
    events.push_back({.kind = kind, .text = {}, .call = 0, .id = {}, .name = {}});
  }
  events.back().text += text;
}

std::string text_of(const OutputEvents& events, OutputEvent::Kind kind) {
  std::string text;
  for (const OutputEvent& event : events) {
    if (event.kind == kind) {
      text += event.text;
    }
  }
  return text;
}

void CollectedChoice::add(GenerationDelta delta) {
  for (OutputEvent& event : delta.events) {
    switch (event.kind) {
      case OutputEvent::Kind::kText:
        content += event.text;
        break;
      case OutputEvent::Kind::kReasoning:
        reasoning += event.text;
        break;
      case OutputEvent::Kind::kCallBegin:
        calls.push_back(
            {.id = std::move(event.id), .name = std::move(event.name), .arguments = {}});
        break;
      case OutputEvent::Kind::kCallArguments:
        calls.back().arguments += event.text;
        break;
      case OutputEvent::Kind::kCallEnd:
        break;
    }
  }
  append_all(tokens, std::move(delta.tokens));
  append_all(logprobs, std::move(delta.logprobs));
  append_all(prompt_logprobs, std::move(delta.prompt_logprobs));
  finish = delta.finish.value_or(finish);
  stop = std::move(delta.stop);
}

}  // namespace tutti
