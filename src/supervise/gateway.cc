#include "supervise/gateway.h"

#include <algorithm>

#include "serve/served_models.h"
#include "supervise/request_peek.h"

namespace tutti {

namespace {

// About four bytes of JSON make a token; how long an answer gets is not known.
constexpr int64_t kBytesPerToken = 4;
constexpr int64_t kLikelyAnswer = 256;
constexpr int64_t kLongestLikely = 4096;
// So many more tokens than the least loaded engine has are worth a prefix that may be cached.
constexpr int64_t kWorthAPrefix = 4096;

int64_t weight_of(const PlaceQuery& query, const RequestPeek& peek) {
  return static_cast<int64_t>(query.body.size()) / kBytesPerToken +
         std::min(peek.max_tokens.value_or(kLikelyAnswer), kLongestLikely) + 1;
}

// Scatters (splitmix64's finaliser), so that each prefix ranks the engines in its own order.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

bool is_ready(const ReplicaView& view) {
  return view.state == ReplicaState::kReady;
}

}  // namespace

class Gateway::Place final : public EnginePlace {
 public:
  Place(const Engine& engine, int64_t tokens)
      : socket_(engine.view.socket),
        model_(engine.view.model),
        outstanding_(engine.outstanding),
        tokens_(tokens) {
    *outstanding_ += tokens_;
  }

  ~Place() override { *outstanding_ -= tokens_; }

  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  const std::string& socket() const override { return socket_; }

  const std::string& model() const override { return model_; }

  Status lost() const override {
    return error(StatusCode::kUnavailable,
                 "the engine of model \"{}\" ended before it had answered; try again in a moment",
                 model_);
  }

 private:
  const std::string socket_;
  const std::string model_;
  const Tokens outstanding_;
  const int64_t tokens_;
};

// The same process keeps its count, which places point at.
Gateway::Tokens Gateway::tokens_of(const ReplicaView& view) const {
  const auto model = models_.find(view.model);
  if (model != models_.end() && !view.socket.empty()) {
    for (const Engine& engine : model->second) {
      if (engine.view.socket == view.socket) {
        return engine.outstanding;
      }
    }
  }
  return std::make_shared<std::atomic<int64_t>>(0);
}

void Gateway::update(const std::vector<ReplicaView>& replicas) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Engines> models;
  for (const ReplicaView& view : replicas) {
    models[view.model].push_back({.view = view, .outstanding = tokens_of(view)});
  }
  models_ = std::move(models);
}

// The one that a prefix ranks first, as long as it is not much busier than the others.
const Gateway::Engine& Gateway::choose(const std::vector<const Engine*>& ready, uint64_t prefix) {
  const auto tokens = [](const Engine* engine) { return engine->outstanding->load(); };
  const Engine* least = *std::min_element(
      ready.begin(), ready.end(), [&](auto a, auto b) { return tokens(a) < tokens(b); });
  if (prefix == 0) {
    return *least;
  }
  const auto rank = [&](const Engine* engine) { return mix(prefix + mix(engine->view.id)); };
  const Engine* first = *std::max_element(
      ready.begin(), ready.end(), [&](auto a, auto b) { return rank(a) < rank(b); });
  return tokens(first) <= tokens(least) + kWorthAPrefix ? *first : *least;
}

Status Gateway::why_none(const std::string& model, const Engines& engines) {
  const ReplicaView& view = engines.front().view;
  const std::string now =
      view.state == ReplicaState::kLoading && view.total_bytes > 0
          ? fmt::format("loading ({} %)", 100 * view.done_bytes / view.total_bytes)
          : state_name(view.state);
  return error(StatusCode::kUnavailable,
               "model \"{}\" is {}{}; try again in a moment",
               model,
               now,
               view.last_error.ok() ? "" : ", after: " + view.last_error.message())
      .with_param("model");
}

std::optional<Result<std::shared_ptr<EnginePlace>>> Gateway::find_place(const PlaceQuery& query) {
  using Found = Result<std::shared_ptr<EnginePlace>>;
  const RequestPeek peek = peek_request(query.body);
  const std::lock_guard lock(mutex_);
  auto model = peek.model ? models_.find(*peek.model) : models_.end();
  // What is wrong with a request that names no model is said by the only engine there is.
  if (!peek.model && models_.size() == 1) {
    model = models_.begin();
  }
  if (model == models_.end()) {
    std::vector<std::string> names;
    for (const auto& [name, engines] : models_) {
      names.push_back(name);
    }
    return Found(no_such_model(peek.model, names));
  }
  std::vector<const Engine*> ready;
  for (const Engine& engine : model->second) {
    if (is_ready(engine.view)) {
      ready.push_back(&engine);
    }
  }
  if (ready.empty()) {
    return Found(why_none(model->first, model->second));
  }
  return Found(std::make_shared<Place>(choose(ready, peek.prefix), weight_of(query, peek)));
}

std::vector<ModelCard> Gateway::cards() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelCard> cards;
  for (const auto& [name, engines] : models_) {
    const auto ready = std::find_if(
        engines.begin(), engines.end(), [](const Engine& engine) { return is_ready(engine.view); });
    if (ready != engines.end()) {
      const ReplicaView& view = ready->view;
      cards.push_back(
          {.id = name, .created_unix = view.created_unix, .max_context = view.max_context});
    }
  }
  return cards;
}

Status Gateway::ready() const {
  const std::lock_guard lock(mutex_);
  Status last(StatusCode::kUnavailable, "no model is served yet");
  for (const auto& [name, engines] : models_) {
    for (const Engine& engine : engines) {
      if (is_ready(engine.view)) {
        return ok_status();
      }
    }
    last = why_none(name, engines);
  }
  return last;
}

std::vector<EngineAddress> Gateway::engines() const {
  const std::lock_guard lock(mutex_);
  std::vector<EngineAddress> out;
  for (const auto& [name, engines] : models_) {
    for (const Engine& engine : engines) {
      if (is_ready(engine.view)) {
        out.push_back({.socket = engine.view.socket,
                       .replica = engines.size() > 1 ? std::to_string(engine.view.id) : ""});
      }
    }
  }
  return out;
}

int64_t Gateway::outstanding_tokens() const {
  const std::lock_guard lock(mutex_);
  int64_t tokens = 0;
  for (const auto& [name, engines] : models_) {
    for (const Engine& engine : engines) {
      tokens += *engine.outstanding;
    }
  }
  return tokens;
}

}  // namespace tutti
