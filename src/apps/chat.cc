#include "apps/chat.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/answer.h"
#include "apps/line_reader.h"
#include "base/file.h"
#include "base/nearest_word.h"

namespace tutti {

namespace {

struct Command {
  const char* name;
  const char* argument;
  const char* help;
};

constexpr auto kCommands = std::to_array<Command>({
    {"/bye", "", "end the chat; so does Ctrl-D"},
    {"/clear", "", "forget the chat, but not the system message"},
    {"/system", "TEXT", "set the system message from here on; without TEXT show it"},
    {"/save", "FILE", "write the chat as a JSON array of messages, as the API takes them"},
    {"/help", "", "this list"},
});

constexpr const char* kKeys =
    "Ctrl-C stops an answer, or drops the line; it never ends the chat.\n"
    "Arrow keys edit the line and bring back earlier ones, Ctrl-R searches them.\n"
    "A paste of several lines is one prompt; Alt-Enter begins another line in it.\n"
    "A line that begins with a space is never a command.\n";

// "/word" with nothing but letters behind the slash: "/etc/hosts" is no command.
std::string command_word(const std::string& line) {
  const std::string word = line.substr(0, line.find_first_of(" \t\n"));
  const bool letters = std::all_of(word.begin() + (word.empty() ? 0 : 1), word.end(), [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0;
  });
  return word.size() > 1 && word[0] == '/' && letters ? word : "";
}

// What stands behind the command, without spaces around it.
std::string argument_of(const std::string& line) {
  const size_t begin = line.find_first_not_of(" \t\n", line.find_first_of(" \t\n"));
  return begin == std::string::npos
             ? ""
             : line.substr(begin, line.find_last_not_of(" \t\n") + 1 - begin);
}

std::string unknown_command(const std::string& word) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    names.emplace_back(command.name);
  }
  const std::vector<std::string> close = nearest_words(word, names);
  return fmt::format("no command {}; {}/help lists them, and a line with a space before it is sent",
                     word,
                     close.empty() ? "" : fmt::format("did you mean {}? ", close.front()));
}

Status write_new_file(const std::string& typed, const std::string& text) {
  const std::string path =
      typed.starts_with("~/") ? read_environment().user_home + typed.substr(1) : typed;
  std::FILE* file = std::fopen(path.c_str(), "wx");
  if (file == nullptr) {
    return errno == EEXIST ? invalid("{}: is there already; give another name", path)
                           : error(StatusCode::kUnavailable, "{}: {}", path, std::strerror(errno));
  }
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  return written && closed ? ok_status()
                           : error(StatusCode::kUnavailable, "{}: {}", path, std::strerror(errno));
}

// What the chat goes on with after an answer.
Json assistant_message(const CollectedChoice& answer) {
  Json out = chat_message("assistant", answer.content);
  JsonArray calls;
  for (size_t i = 0; i < answer.calls.size(); ++i) {
    const CollectedChoice::Call& call = answer.calls[i];
    calls.push_back(Json::object(
        {{"id", call.id.empty() ? fmt::format("call-{}", i) : call.id},
         {"type", "function"},
         {"function", Json::object({{"name", call.name}, {"arguments", call.arguments}})}}));
  }
  if (!calls.empty()) {
    out.as_object().append("tool_calls", std::move(calls));
  }
  return out;
}

class Chat {
 public:
  Chat(const TextModel& model,
       const RunOptions& options,
       std::shared_ptr<const Json> tools,
       JsonArray messages)
      : model_(model),
        options_(options),
        tools_(std::move(tools)),
        begin_(std::move(messages)),
        messages_(begin_),
        lines_(make_line_reader(history_file())) {}

  Status loop();

 private:
  enum class Next { kAsk, kAnswer, kEnd };

  static std::string history_file() {
    const std::string state = read_environment().state;
    return state.empty() ? "" : join_path(state, "history");
  }

  Next ask();
  Next obey(const std::string& line);
  Next obey_typed(const std::string& word, const std::string& line);
  void set_system(const std::string& text);
  Result<Next> reply();
  Next ask_results(const CollectedChoice& said);
  void forget_question();
  void explain(const Status& status);

  const TextModel& model_;
  const RunOptions& options_;
  std::shared_ptr<const Json> tools_;
  JsonArray begin_;  // what /clear goes back to
  JsonArray messages_;
  std::unique_ptr<LineReader> lines_;
  size_t answered_ = 0;  // messages before the question that is asked now
};

Chat::Next Chat::ask() {
  const LineReader::Line line = lines_->read(at_terminal() ? "> " : "");
  if (line.end == LineReader::End::kInterrupt) {
    std::cerr << "Ctrl-D or /bye ends the chat.\n";
    return Next::kAsk;
  }
  if (line.end == LineReader::End::kEnd) {
    return Next::kEnd;
  }
  if (line.text.find_first_not_of(at_terminal() ? " \t\n" : "") == std::string::npos) {
    return Next::kAsk;
  }
  lines_->remember(line.text);
  const Next next = obey(line.text);
  if (next == Next::kAnswer) {
    messages_.push_back(chat_message("user", line.text));
  }
  return next;
}

// kAnswer: the line is no command.
Chat::Next Chat::obey(const std::string& line) {
  if (line == "/bye") {
    return Next::kEnd;
  }
  if (line == "/clear") {
    messages_ = begin_;
    return Next::kAsk;
  }
  const std::string word = at_terminal() ? command_word(line) : "";
  return word.empty() ? Next::kAnswer : obey_typed(word, line);
}

Chat::Next Chat::obey_typed(const std::string& word, const std::string& line) {
  const std::string argument = argument_of(line);
  if (word == "/bye" || word == "/clear") {
    return obey(word);
  }
  if (word == "/help") {
    for (const Command& command : kCommands) {
      std::cerr << fmt::format(
          "{:<16}{}\n", fmt::format("{} {}", command.name, command.argument), command.help);
    }
    std::cerr << kKeys;
  } else if (word == "/system") {
    set_system(argument);
  } else if (word == "/save") {
    const Status status = argument.empty()
                              ? invalid("/save FILE: names no file")
                              : write_new_file(argument, to_string(Json(messages_)) + "\n");
    if (status.ok()) {
      std::cerr << fmt::format("{} messages written to {}\n", messages_.size(), argument);
    } else {
      fail(status);
    }
  } else {
    fail(invalid("{}", unknown_command(word)));
  }
  return Next::kAsk;
}

void Chat::set_system(const std::string& text) {
  const bool is_set = !begin_.empty();
  if (text.empty()) {
    std::cerr << (is_set ? begin_[0].find("content")->as_string() : "There is no system message.")
              << "\n";
    return;
  }
  Json system = chat_message("system", text);
  for (JsonArray* list : {&begin_, &messages_}) {
    if (is_set) {
      (*list)[0] = system;
    } else {
      list->insert(list->begin(), system);
    }
  }
  std::cerr << "The system message is set"
            << (messages_.size() > begin_.size() ? "; the chat so far stays, /clear forgets it.\n"
                                                 : ".\n");
}

// Asks for what each called tool returned. kAsk: Ctrl-C, the question is forgotten.
Chat::Next Chat::ask_results(const CollectedChoice& said) {
  const Json called = messages_.back();
  for (size_t i = 0; i < said.calls.size(); ++i) {
    const LineReader::Line line = lines_->read(fmt::format("{} returns> ", said.calls[i].name));
    if (line.end == LineReader::End::kInterrupt) {
      forget_question();
      return Next::kAsk;
    }
    if (line.end == LineReader::End::kEnd) {
      return Next::kEnd;
    }
    Json result = chat_message("tool", line.text);
    result.as_object().append("tool_call_id", *called.find("tool_calls")->as_array()[i].find("id"));
    messages_.push_back(std::move(result));
  }
  return Next::kAnswer;
}

void Chat::forget_question() {
  messages_.resize(answered_);
  if (at_terminal() && !options_.model.quiet) {
    std::cerr << "[stopped; the chat goes on as before this question]\n";
  }
}

// Why there was no answer, and what of the chat counts.
void Chat::explain(const Status& status) {
  fail(status);
  const bool too_long =
      status.code() == StatusCode::kContextLength || status.code() == StatusCode::kOutOfMemory;
  if (!too_long || answered_ <= begin_.size()) {
    return;
  }
  messages_.resize(answered_);
  const Result<Prompt> chat = model_.engine->prepare(
      {.messages = Json(messages_), .tools = tools_, .one_call = false, .template_kwargs = {}});
  std::cerr << fmt::format(
      "The chat so far counts too{}: /clear forgets it.\n",
      chat.ok() ? fmt::format(", {} of these tokens", chat->tokens.size()) : "");
}

// One answer. kAnswer: the model called tools and is to answer what they returned.
Result<Chat::Next> Chat::reply() {
  Result<Answer> made =
      answer(model_,
             messages_,
             {.run = options_, .tools = tools_, .in_chat = at_terminal(), .before_exit = [this] {
                lines_->restore_terminal();
              }});
  if (made.ok()) {
    messages_.push_back(assistant_message(made->said));
    return made->said.calls.empty() ? Next::kAsk : ask_results(made->said);
  }
  const StatusCode code = made.status().code();
  const bool of_this_line = code == StatusCode::kContextLength ||
                            code == StatusCode::kInvalidArgument ||
                            code == StatusCode::kOutOfMemory;
  if (code == StatusCode::kCancelled) {
    forget_question();
  } else if (at_terminal() && of_this_line) {
    explain(made.status());
  } else {
    return std::move(made).status();
  }
  messages_.resize(answered_);
  return Next::kAsk;
}

Status Chat::loop() {
  if (!options_.model.quiet) {
    std::cerr << "Chat with " << model_.engine->info().id
              << (at_terminal()
                      ? ". Ctrl-C stops an answer, /help lists commands, Ctrl-D or /bye ends the "
                        "chat.\n"
                      : ". Each line is a prompt; /clear forgets, /bye ends the chat.\n");
  }
  for (;;) {
    answered_ = messages_.size();
    Next next = ask();
    while (next == Next::kAnswer) {
      TUTTI_TRY(next, reply());
    }
    if (next == Next::kEnd) {
      return ok_status();
    }
  }
}

}  // namespace

Status chat(const TextModel& model,
            const RunOptions& options,
            const std::shared_ptr<const Json>& tools,
            JsonArray messages) {
  return Chat(model, options, tools, std::move(messages)).loop();
}

}  // namespace tutti
