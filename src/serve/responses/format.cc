// Response objects and their events. Each event has its name twice, on its `event:` line and in its
// data, and a number.
#include "base/json.h"
#include "base/utf8.h"
#include "serve/random_id.h"
#include "serve/responses/responses.h"

namespace tutti {

namespace {

Json usage_json(const GenerationUsage& usage) {
  return Json::object(
      {{"input_tokens", usage.prompt_tokens},
       {"input_tokens_details", Json::object({{"cached_tokens", usage.cached_prompt_tokens}})},
       {"output_tokens", usage.completion_tokens},
       {"output_tokens_details", Json::object({{"reasoning_tokens", usage.reasoning_tokens}})},
       {"total_tokens", usage.prompt_tokens + usage.completion_tokens}});
}

Json text_part(const std::string& text) {
  return Json::object({{"type", "output_text"},
                       {"annotations", Json::array()},
                       {"logprobs", Json::array()},
                       {"text", text}});
}

Json reasoning_part(const std::string& text) {
  return Json::object({{"type", "reasoning_text"}, {"text", text}});
}

Json message_item(const std::string& id, const char* status, JsonArray content) {
  return Json::object({{"id", id},
                       {"type", "message"},
                       {"status", status},
                       {"role", "assistant"},
                       {"content", std::move(content)}});
}

Json reasoning_item(const std::string& id, JsonArray content) {
  return Json::object({{"id", id},
                       {"type", "reasoning"},
                       {"summary", Json::array()},
                       {"content", std::move(content)}});
}

struct Call {
  std::string id;
  std::string call_id;
  std::string name;
  std::string arguments;
};

Json call_item(const Call& call, const char* status) {
  return Json::object({{"id", call.id},
                       {"type", "function_call"},
                       {"status", status},
                       {"call_id", call.call_id},
                       {"name", call.name},
                       {"arguments", call.arguments}});
}

class ResponsesFormat final : public ReplyFormat {
 public:
  explicit ResponsesFormat(ReplyEnvelope envelope) : envelope_(std::move(envelope)) {}

  std::string whole(const std::vector<CollectedChoice>& choices,
                    const GenerationUsage& usage) override {
    const CollectedChoice& choice = choices[0];
    finish_ = choice.finish;
    if (!choice.reasoning.empty()) {
      output_.push_back(
          reasoning_item(random_id("rs_"), JsonArray{reasoning_part(choice.reasoning)}));
    }
    if (!choice.content.empty() || choice.calls.empty()) {
      output_.push_back(
          message_item(random_id("msg_"), end_status(), JsonArray{text_part(choice.content)}));
    }
    for (const CollectedChoice::Call& call : choice.calls) {
      output_.push_back(call_item(new_call(call.id, call.name, call.arguments), "completed"));
    }
    return kept(response(end_status(), &usage));
  }

  void begin(std::string& out) override {
    for (const char* name : {"response.created", "response.in_progress"}) {
      event(out, name, R"("response":)" + to_string(response("in_progress", nullptr)));
    }
  }

  void delta(const GenerationDelta& delta, std::string& out) override {
    using Kind = OutputEvent::Kind;
    for (const OutputEvent& piece : delta.events) {
      switch (piece.kind) {
        case Kind::kText:
          open(out, Item::kMessage);
          add_text(out, "response.output_text.delta", piece.text);
          break;
        case Kind::kReasoning:
          open(out, Item::kReasoning);
          add_text(out, "response.reasoning_text.delta", piece.text);
          break;
        case Kind::kCallBegin:
          close(out, "completed");
          call_ = new_call(piece.id, piece.name, "");
          open(out, Item::kCall);
          break;
        case Kind::kCallArguments:
          call_.arguments += piece.text;
          event(out,
                "response.function_call_arguments.delta",
                fmt::format(R"({},"delta":{})", place(), quoted(piece.text)));
          break;
        case Kind::kCallEnd:
          close(out, "completed");
          break;
      }
    }
    if (delta.finish) {
      finish_ = *delta.finish;
      if (output_.empty() && item_ == Item::kNone) {
        open(out, Item::kMessage);  // an empty answer is a message too
      }
      close(out, end_status());
    }
  }

  void end(const GenerationUsage& usage, std::string& out) override {
    event(out,
          finish_ == FinishReason::kLength ? "response.incomplete" : "response.completed",
          R"("response":)" + kept(response(end_status(), &usage)));
  }

  void error(const Status& status, std::string& out) override {
    const ApiError error = to_api_error(status);
    const std::string message = replace_invalid_utf8(error.message);
    event(out,
          "error",
          fmt::format(R"("code":{},"message":{},"param":{})",
                      quoted(error.code),
                      quoted(message),
                      error.param.empty() ? "null" : quoted(replace_invalid_utf8(error.param))));
    if (envelope_.repeated == nullptr) {
      return;  // of a gateway, which has not read what came before
    }
    Json failed = response("failed", nullptr);
    failed.as_object().set("error", Json::object({{"code", error.code}, {"message", message}}));
    event(out, "response.failed", R"("response":)" + to_string(failed));
  }

 private:
  enum class Item { kNone, kMessage, kReasoning, kCall };

  static std::string quoted(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
  }

  static Call new_call(const std::string& id, const std::string& name, std::string arguments) {
    return {.id = random_id("fc_"),
            .call_id = id.empty() ? random_id("call_") : id,
            .name = name,
            .arguments = std::move(arguments)};
  }

  void event(std::string& out, const char* name, const std::string& members) {
    out += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\",\"sequence_number\":{1},{2}}}\n\n",
                       name,
                       number_++,
                       members);
  }

  // "item_id":…,"output_index":…
  std::string place() const {
    return fmt::format(R"("item_id":"{}","output_index":{})", item_id_, output_.size());
  }

  void item_event(std::string& out, const char* name, const Json& item) {
    event(
        out, name, fmt::format(R"("output_index":{},"item":{})", output_.size(), to_string(item)));
  }

  void part_event(std::string& out, const char* name, const Json& part) {
    event(out, name, fmt::format(R"({},"content_index":0,"part":{})", place(), to_string(part)));
  }

  void open(std::string& out, Item kind) {
    if (item_ == kind) {
      return;
    }
    close(out, "completed");
    item_ = kind;
    text_.clear();
    switch (kind) {
      case Item::kMessage:
        item_id_ = random_id("msg_");
        item_event(
            out, "response.output_item.added", message_item(item_id_, "in_progress", JsonArray()));
        part_event(out, "response.content_part.added", text_part(""));
        break;
      case Item::kReasoning:
        item_id_ = random_id("rs_");
        item_event(out, "response.output_item.added", reasoning_item(item_id_, JsonArray()));
        part_event(out, "response.content_part.added", reasoning_part(""));
        break;
      case Item::kCall:
        item_id_ = call_.id;
        item_event(out, "response.output_item.added", call_item(call_, "in_progress"));
        break;
      case Item::kNone:
        break;
    }
  }

  void add_text(std::string& out, const char* name, const std::string& text) {
    text_ += text;
    const bool answer = item_ == Item::kMessage;
    event(out,
          name,
          fmt::format(R"({},"content_index":0,"delta":{}{})",
                      place(),
                      quoted(text),
                      answer ? R"(,"logprobs":[])" : ""));
  }

  void close(std::string& out, const char* status) {
    const auto text_done = [&](const char* name, const Json& part, const char* more) {
      event(out,
            name,
            fmt::format(R"({},"content_index":0,"text":{}{})", place(), quoted(text_), more));
      part_event(out, "response.content_part.done", part);
    };
    Json item;
    switch (item_) {
      case Item::kNone:
        return;
      case Item::kMessage: {
        const Json part = text_part(text_);
        text_done("response.output_text.done", part, R"(,"logprobs":[])");
        item = message_item(item_id_, status, JsonArray{part});
        break;
      }
      case Item::kReasoning: {
        const Json part = reasoning_part(text_);
        text_done("response.reasoning_text.done", part, "");
        item = reasoning_item(item_id_, JsonArray{part});
        break;
      }
      case Item::kCall:
        event(out,
              "response.function_call_arguments.done",
              fmt::format(R"({},"name":{},"arguments":{})",
                          place(),
                          quoted(call_.name),
                          quoted(call_.arguments)));
        item = call_item(call_, "completed");
        break;
    }
    item_event(out, "response.output_item.done", item);
    output_.push_back(std::move(item));
    item_ = Item::kNone;
  }

  const char* end_status() const {
    return finish_ == FinishReason::kLength ? "incomplete" : "completed";
  }

  Json response(std::string_view status, const GenerationUsage* usage) const {
    Json out = Json::object(
        {{"id", envelope_.id},
         {"object", "response"},
         {"created_at", envelope_.created_unix},
         {"status", status},
         {"background", false},
         {"error", Json()},
         {"incomplete_details",
          status == "incomplete" ? Json::object({{"reason", "max_output_tokens"}}) : Json()},
         {"model", envelope_.model},
         {"output", output_}});
    if (envelope_.repeated != nullptr) {
      for (const JsonMember& member : *envelope_.repeated) {
        out.as_object().append(member.key, member.value);
      }
    }
    out.as_object().append("usage", usage == nullptr ? Json() : usage_json(*usage));
    return out;
  }

  std::string kept(const Json& response) const {
    if (envelope_.keep) {
      envelope_.keep(response);
    }
    return to_string(response);
  }

  const ReplyEnvelope envelope_;
  JsonArray output_;  // the items that are whole
  Item item_ = Item::kNone;
  std::string item_id_;
  std::string text_;  // of the item under way
  Call call_;
  FinishReason finish_ = FinishReason::kStop;
  int64_t number_ = 0;
};

}  // namespace

std::unique_ptr<ReplyFormat> make_responses_format(ReplyEnvelope envelope) {
  return std::make_unique<ResponsesFormat>(std::move(envelope));
}

}  // namespace tutti
