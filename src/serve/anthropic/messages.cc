// Anthropic's messages, blocks of several kinds, as chat templates expect them: the results of
// tools are messages of their own, before what else the user says; thinking is `reasoning_content`.
#include <algorithm>

#include "base/field_error.h"
#include "serve/anthropic/anthropic.h"
#include "serve/openai/message_fields.h"
#include "serve/request_parts.h"

namespace tutti {

namespace {

/// The messages that one of Anthropic's becomes.
class Turn {
 public:
  explicit Turn(bool assistant) : assistant_(assistant) {}

  Status add(const Json& block, const std::string& path) {
    TUTTI_TRY(const std::string type, string_member(block, "type", path));
    if (type == "text") {
      TUTTI_TRY(const std::string text, string_member(block, "text", path));
      text_ += text;
      return ok_status();
    }
    if (!assistant_ && type == "tool_result") {
      return add_result(block, path);
    }
    if (assistant_ && type == "tool_use") {
      return add_call(block, path);
    }
    if (assistant_ && type == "thinking") {
      TUTTI_TRY(const std::string text, string_member(block, "thinking", path));
      reasoning_ += text;
      return ok_status();
    }
    if (assistant_ && type == "redacted_thinking") {
      return ok_status();
    }
    return unsupported_at(
        path + ".type",
        fmt::format("{} of role {} is", type.substr(0, 80), assistant_ ? "assistant" : "user"));
  }

  void finish(JsonArray& out) {
    std::move(results_.begin(), results_.end(), std::back_inserter(out));
    if (!assistant_) {
      if (!text_.empty() || results_.empty()) {
        out.push_back(Json::object({{"role", "user"}, {"content", std::move(text_)}}));
      }
      return;
    }
    Json message = Json::object({{"role", "assistant"}, {"content", std::move(text_)}});
    if (!reasoning_.empty()) {
      message.as_object().append("reasoning_content", std::move(reasoning_));
    }
    if (!calls_.empty()) {
      message.as_object().append("tool_calls", std::move(calls_));
    }
    out.push_back(std::move(message));
  }

 private:
  Status add_result(const Json& block, const std::string& path) {
    TUTTI_TRY(std::string id, string_member(block, "tool_use_id", path));
    const Json* content = block.find("content");
    std::string text;
    if (content != nullptr && !content->is_null()) {
      TUTTI_TRY(text, text_of_parts(*content, path + ".content", {"text"}));
    }
    results_.push_back(Json::object(
        {{"role", "tool"}, {"tool_call_id", std::move(id)}, {"content", std::move(text)}}));
    return ok_status();
  }

  Status add_call(const Json& block, const std::string& path) {
    TUTTI_TRY(std::string id, string_member(block, "id", path));
    TUTTI_TRY(std::string name, string_member(block, "name", path));
    const Json* input = block.find("input");
    if (input == nullptr || !input->is_object()) {
      return field_error(path + ".input", "missing or no object");
    }
    calls_.push_back(tool_call(std::move(id), std::move(name), *input));
    return ok_status();
  }

  const bool assistant_;
  std::string text_;
  std::string reasoning_;
  JsonArray calls_;
  JsonArray results_;
};

Status add_message(const Json& message, const std::string& path, JsonArray& out) {
  TUTTI_TRY(const std::string role, string_member(message, "role", path));
  if (role != "user" && role != "assistant" && role != "system") {
    return field_error(path + ".role",
                       fmt::format("got \"{}\", wanted user or assistant", role.substr(0, 80)));
  }
  const Json* content = message.find("content");
  if (content == nullptr || !(content->is_string() || content->is_array())) {
    return field_error(path + ".content", "missing; wanted a string or a list of blocks");
  }
  if (role == "system" || content->is_string()) {
    TUTTI_TRY(std::string text, text_of_parts(*content, path + ".content", {"text"}));
    out.push_back(Json::object({{"role", role}, {"content", std::move(text)}}));
    return ok_status();
  }
  Turn turn(role == "assistant");
  for (size_t i = 0; i < content->as_array().size(); ++i) {
    TUTTI_RETURN_IF_ERROR(turn.add(content->as_array()[i], fmt::format("{}.content[{}]", path, i)));
  }
  turn.finish(out);
  return ok_status();
}

}  // namespace

Result<Json> chat_of_anthropic(const JsonObject& body, const RequestLimits& limits) {
  JsonArray out;
  const Json* system = any_field(body, "system");
  if (system != nullptr) {
    TUTTI_TRY(std::string text, text_of_parts(*system, "system", {"text"}));
    if (!text.empty()) {
      out.push_back(Json::object({{"role", "system"}, {"content", std::move(text)}}));
    }
  }
  const Json* messages = any_field(body, "messages");
  if (messages == nullptr || messages->as_array().empty()) {
    return field_error("messages", "missing or empty; wanted a list of messages");
  }
  for (size_t i = 0; i < messages->as_array().size(); ++i) {
    TUTTI_RETURN_IF_ERROR(
        add_message(messages->as_array()[i], fmt::format("messages[{}]", i), out));
  }
  return normalise_messages(out, limits);
}

}  // namespace tutti
