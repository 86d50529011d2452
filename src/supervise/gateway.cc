#include "supervise/gateway.h"

#include <algorithm>
#include <set>

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

using Clock = std::chrono::steady_clock;

template <class Engines>
bool is_any_ready(const Engines& engines) {
  return std::any_of(
      engines.begin(), engines.end(), [](const auto& engine) { return is_ready(engine.view); });
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
  std::map<std::string, Engines> models;
  std::vector<std::shared_ptr<Waker>> waiting;
  {
    const std::lock_guard lock(mutex_);
    for (const ReplicaView& view : replicas) {
      models[view.model].push_back({.view = view, .outstanding = tokens_of(view)});
    }
    std::map<std::string, std::chrono::steady_clock::time_point> used;
    for (const auto& [name, engines] : models) {
      const auto known = last_used_.find(name);
      const bool was_there = models_.contains(name) && known != last_used_.end();
      used[name] = was_there && is_any_ready(models_.at(name)) ? known->second : Clock::now();
    }
    last_used_ = std::move(used);
    models_ = std::move(models);
    waiting.swap(waiting_);
  }
  for (const auto& waker : waiting) {
    waker->wake();
  }
}

void Gateway::set_on_demand(std::vector<std::string> models) {
  const std::lock_guard lock(mutex_);
  on_demand_ = std::move(models);
}

void Gateway::load_with(std::function<void(const std::string& model)> load) {
  const std::lock_guard lock(mutex_);
  load_ = std::move(load);
}

void Gateway::describe_with(std::function<std::string(const std::string& model)> describe) {
  const std::lock_guard lock(mutex_);
  describe_ = std::move(describe);
}

std::optional<std::chrono::steady_clock::duration> Gateway::idle_for(const std::string& model) {
  const std::lock_guard lock(mutex_);
  const auto found = models_.find(model);
  const auto used = last_used_.find(model);
  if (found == models_.end() || used == last_used_.end() || !is_any_ready(found->second)) {
    return std::nullopt;
  }
  const bool busy = std::any_of(found->second.begin(), found->second.end(), [](const Engine& e) {
    return *e.outstanding > 0;
  });
  if (busy) {
    used->second = Clock::now();
    return std::nullopt;
  }
  return Clock::now() - used->second;
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

std::vector<std::string> Gateway::names_locked() const {
  std::set<std::string> names(on_demand_.begin(), on_demand_.end());
  for (const auto& [name, engines] : models_) {
    names.insert(name);
  }
  return {names.begin(), names.end()};
}

std::optional<Result<std::shared_ptr<EnginePlace>>> Gateway::find_place(const PlaceQuery& query) {
  std::string to_load;
  auto found = find_known(query, to_load);
  if (!to_load.empty()) {
    std::function<void(const std::string&)> load;
    {
      const std::lock_guard lock(mutex_);
      load = load_;
    }
    if (load) {
      load(to_load);  // without the lock: it will tell us what has changed
    }
  }
  return found;
}

// `to_load`: a model that is to be loaded for this request.
std::optional<Result<std::shared_ptr<EnginePlace>>> Gateway::find_known(const PlaceQuery& query,
                                                                        std::string& to_load) {
  using Found = Result<std::shared_ptr<EnginePlace>>;
  const RequestPeek peek = peek_request(query.body);
  const std::lock_guard lock(mutex_);
  const std::vector<std::string> names = names_locked();
  // What is wrong with a request that names no model is said by the only engine there is.
  const std::string name = peek.model          ? meant_model(*peek.model, names)
                           : names.size() == 1 ? names.front()
                                               : std::string();
  const bool on_demand = std::find(on_demand_.begin(), on_demand_.end(), name) != on_demand_.end();
  const auto model = models_.find(name);
  if (model == models_.end()) {
    if (!on_demand) {
      return Found(no_such_model(peek.model, names));
    }
    to_load = name;
    waiting_.push_back(query.waker);
    return std::nullopt;
  }
  std::vector<const Engine*> ready;
  bool all_failed = true;
  for (const Engine& engine : model->second) {
    if (is_ready(engine.view)) {
      ready.push_back(&engine);
    }
    all_failed = all_failed && engine.view.state == ReplicaState::kFailed;
  }
  if (!ready.empty()) {
    last_used_[name] = Clock::now();
    return Found(std::make_shared<Place>(choose(ready, peek.prefix), weight_of(query, peek)));
  }
  if (on_demand && !all_failed) {
    waiting_.push_back(query.waker);
    return std::nullopt;
  }
  return Found(why_none(model->first, model->second));
}

std::vector<ModelCard> Gateway::cards() const {
  std::vector<ModelCard> cards;
  std::function<std::string(const std::string&)> describe;
  {
    const std::lock_guard lock(mutex_);
    describe = describe_;
    for (const std::string& name : names_locked()) {
      const auto model = models_.find(name);
      const bool running = model != models_.end() && is_any_ready(model->second);
      const bool on_demand =
          std::find(on_demand_.begin(), on_demand_.end(), name) != on_demand_.end();
      ModelCard card{.id = name};
      if (running) {
        const auto ready = std::find_if(model->second.begin(),
                                        model->second.end(),
                                        [](const Engine& engine) { return is_ready(engine.view); });
        card.created_unix = ready->view.created_unix;
        card.max_context = ready->view.max_context;
      }
      if (running || on_demand) {
        cards.push_back(std::move(card));
      }
    }
  }
  for (ModelCard& card : cards) {
    card.members = describe ? describe(card.id) : "";
  }
  return cards;
}

Status Gateway::ready() const {
  const std::lock_guard lock(mutex_);
  if (!on_demand_.empty()) {
    return ok_status();
  }
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
