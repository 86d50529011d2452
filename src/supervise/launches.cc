#include "supervise/launches.h"

#include <algorithm>

#include "base/log.h"
#include "base/wall_clock.h"

namespace tutti {

bool LaunchView::ready() const {
  return !replicas.empty() &&
         std::all_of(replicas.begin(), replicas.end(), [](const auto& replica) {
           return replica.state == ReplicaState::kReady;
         });
}

bool LaunchView::any_ready() const {
  return std::any_of(replicas.begin(), replicas.end(), [](const auto& replica) {
    return replica.state == ReplicaState::kReady;
  });
}

bool LaunchView::failed() const {
  return !any_ready() && std::any_of(replicas.begin(), replicas.end(), [](const auto& replica) {
    return replica.state == ReplicaState::kFailed;
  });
}

const Status& LaunchView::error() const {
  static const Status kNone;
  const auto found = std::find_if(replicas.begin(), replicas.end(), [](const auto& replica) {
    return !replica.last_error.ok();
  });
  return found == replicas.end() ? kNone : found->last_error;
}

Result<std::unique_ptr<Launches>> Launches::start(Config config) {
  std::unique_ptr<Launches> launches(new Launches(std::move(config)));
  Launches* const raw = launches.get();
  SupervisorConfig supervisor = launches->config_.supervisor;
  supervisor.on_change = [raw] { raw->changed(); };
  TUTTI_TRY(launches->supervisor_, Supervisor::start(std::move(supervisor)));
  launches->config_.gateway->load_with([raw](const std::string& model) { raw->load(model); });
  return launches;
}

Launches::~Launches() {
  config_.gateway->load_with(nullptr);
}

Status Launches::restore(const std::vector<std::string>& replaced) {
  TUTTI_TRY(const std::vector<StoredLaunch> kept, config_.store->launches());
  for (const StoredLaunch& launch : kept) {
    if (std::find(replaced.begin(), replaced.end(), launch.uid) != replaced.end()) {
      TUTTI_RETURN_IF_ERROR(config_.store->remove(launch.uid));
      continue;
    }
    const Result<Json> json = parse_json(launch.spec);
    Result<LaunchSpec> spec = json.ok() && json->is_object()
                                  ? read_launch_spec(json->as_object())
                                  : Result<LaunchSpec>(invalid("no JSON object"));
    if (!spec.ok()) {
      log_warn("{} is not restored: {}", launch.uid, spec.status().message());
      continue;
    }
    log_info("{}: restored, it was launched before", launch.uid);
    TUTTI_RETURN_IF_ERROR(add(std::move(spec).value(), true));
  }
  return ok_status();
}

uint64_t Launches::start_replica(const LaunchSpec& spec) {
  EngineSpec engine{.model = spec.uid, .arguments = {}};
  if (!spec.model.empty()) {
    engine.arguments.push_back(spec.model);
  }
  engine.arguments.insert(engine.arguments.end(), spec.flags.begin(), spec.flags.end());
  engine.arguments.insert(engine.arguments.end(), {flag_named("served-model-name"), spec.uid});
  return supervisor_->launch(std::move(engine));
}

void Launches::load_locked(Launch& launch) {
  launch.loaded = true;
  while (static_cast<int64_t>(launch.ids.size()) < launch.spec.replicas) {
    launch.ids.push_back(start_replica(launch.spec));
  }
}

// What may be asked, from this moment on: replicas that somebody wants, and what requests may load.
// Views come from the same moment: what one of them calls ready is asked from then on.
void Launches::tell_gateway_locked(std::vector<ReplicaView> replicas) {
  replicas_ = std::move(replicas);
  std::vector<std::string> on_demand;
  std::vector<ReplicaView> wanted;
  for (const auto& [uid, launch] : launches_) {
    const LaunchView view = view_locked(launch);
    wanted.insert(wanted.end(), view.replicas.begin(), view.replicas.end());
    if (launch.spec.loads_itself()) {
      on_demand.push_back(uid);
    }
  }
  config_.gateway->set_on_demand(std::move(on_demand));
  config_.gateway->update(wanted);
}

Status Launches::add(LaunchSpec spec, bool keep) {
  const std::string uid = spec.uid;
  {
    const std::lock_guard lock(mutex_);
    if (launches_.contains(uid)) {
      return invalid("model_uid: \"{}\" is in use; terminate it first, or choose another name", uid)
          .with_param("model_uid");
    }
    Launch launch{.spec = std::move(spec), .created_unix = unix_now(), .kept = keep};
    if (keep) {
      TUTTI_RETURN_IF_ERROR(config_.store->put({.uid = uid,
                                                .spec = to_string(to_json(launch.spec)),
                                                .created_unix = launch.created_unix}));
    }
    if (!launch.spec.on_demand) {
      load_locked(launch);
    }
    launches_.emplace(uid, std::move(launch));
    tell_gateway_locked(supervisor_->replicas());
  }
  config_.store->add_event(uid, {.time_unix = unix_now(), .kind = "Normal", .text = "launched"});
  return ok_status();
}

bool Launches::remove(const std::string& uid) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = launches_.find(uid);
    if (found == launches_.end()) {
      return false;
    }
    for (const uint64_t id : found->second.ids) {
      supervisor_->stop(id);
    }
    launches_.erase(found);
    tell_gateway_locked(supervisor_->replicas());
    if (const Status status = config_.store->remove(uid); !status.ok()) {
      log_error("{} is terminated, but will be back after a restart: {}", uid, status.message());
    }
  }
  config_.store->add_event(uid, {.time_unix = unix_now(), .kind = "Normal", .text = "terminated"});
  return true;
}

namespace {

Status no_such_launch(const std::string& uid) {
  return error(StatusCode::kNotFound, "model \"{}\" is not launched here", uid.substr(0, 128))
      .with_param("model_uid");
}

}  // namespace

// What has changed of a launch, for the next start; this one goes on as it is.
void Launches::keep_locked(const Launch& launch) {
  if (!launch.kept) {
    return;
  }
  const Status status = config_.store->put({.uid = launch.spec.uid,
                                            .spec = to_string(to_json(launch.spec)),
                                            .created_unix = launch.created_unix});
  if (!status.ok()) {
    log_error("{}: after a restart it will be as before: {}", launch.spec.uid, status.message());
  }
}

Result<uint64_t> Launches::add_replica(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  const auto found = launches_.find(uid);
  if (found == launches_.end()) {
    return no_such_launch(uid);
  }
  Launch& launch = found->second;
  if (launch.spec.replicas >= kMostReplicas) {
    return invalid("replica: \"{}\" has {}, the most there may be", uid, launch.spec.replicas);
  }
  ++launch.spec.replicas;
  load_locked(launch);
  keep_locked(launch);
  tell_gateway_locked(supervisor_->replicas());
  return launch.ids.back();
}

Result<int64_t> Launches::remove_replica(const std::string& uid, uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = launches_.find(uid);
  if (found == launches_.end()) {
    return no_such_launch(uid);
  }
  Launch& launch = found->second;
  const auto replica = std::find(launch.ids.begin(), launch.ids.end(), id);
  if (replica == launch.ids.end()) {
    return error(StatusCode::kNotFound, "model \"{}\" has no replica {}", uid, id);
  }
  if (launch.ids.size() == 1) {
    return invalid(
        "replica_id: {} is the last replica of \"{}\"; terminate the model instead", id, uid);
  }
  supervisor_->stop(id);
  launch.ids.erase(replica);
  launch.spec.replicas = static_cast<int64_t>(launch.ids.size());
  keep_locked(launch);
  tell_gateway_locked(supervisor_->replicas());
  return launch.spec.replicas;
}

LaunchView Launches::view_locked(const Launch& launch) const {
  LaunchView view{
      .spec = launch.spec, .created_unix = launch.created_unix, .loaded = launch.loaded};
  for (const uint64_t id : launch.ids) {
    const auto found = std::find_if(
        replicas_.begin(), replicas_.end(), [&](const ReplicaView& r) { return r.id == id; });
    if (found != replicas_.end()) {
      view.replicas.push_back(*found);
    }
  }
  return view;
}

std::vector<LaunchView> Launches::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<LaunchView> views;
  for (const auto& [uid, launch] : launches_) {
    views.push_back(view_locked(launch));
  }
  return views;
}

std::optional<LaunchView> Launches::find(const std::string& uid) const {
  const std::lock_guard lock(mutex_);
  const auto found = launches_.find(uid);
  return found == launches_.end() ? std::nullopt : std::optional(view_locked(found->second));
}

Result<std::vector<LaunchEvent>> Launches::events(const std::string& uid) const {
  return config_.store->events(uid);
}

std::vector<std::string> Launches::log(uint64_t replica) const {
  return supervisor_->log(replica);
}

void Launches::wake_at_change(std::shared_ptr<Waker> waker) {
  const std::lock_guard lock(mutex_);
  if (std::find(waiting_.begin(), waiting_.end(), waker) == waiting_.end()) {
    waiting_.push_back(std::move(waker));
  }
}

void Launches::load(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  const auto found = launches_.find(uid);
  if (found == launches_.end() || found->second.loaded) {
    return;
  }
  // One that is being unloaded is waited for, since both may not fit; its end asks again.
  const std::vector<ReplicaView> replicas = supervisor_->replicas();
  const bool leaving = std::any_of(
      replicas.begin(), replicas.end(), [&](const ReplicaView& r) { return r.model == uid; });
  if (!leaving) {
    log_info("{}: a request loads it", uid);
    load_locked(found->second);
  }
}

void Launches::unload_idle() {
  const std::lock_guard lock(mutex_);
  for (auto& [uid, launch] : launches_) {
    const int64_t after = launch.spec.unload_after_seconds;
    if (!launch.loaded || after == 0) {
      continue;
    }
    const auto idle = config_.gateway->idle_for(uid);
    if (idle && *idle >= std::chrono::seconds(after)) {
      log_info("{}: unloaded after {} s without requests", uid, after);
      for (const uint64_t id : launch.ids) {
        supervisor_->stop(id);
      }
      launch.ids.clear();
      launch.loaded = false;
      tell_gateway_locked(supervisor_->replicas());
    }
  }
}

void Launches::note_events(const std::vector<ReplicaView>& replicas) {
  std::map<uint64_t, ReplicaState> now;
  for (const ReplicaView& replica : replicas) {
    now[replica.id] = replica.state;
    const auto before = told_.find(replica.id);
    if (before != told_.end() && before->second == replica.state) {
      continue;
    }
    const bool failed = replica.state == ReplicaState::kFailed;
    const bool crashed = replica.state == ReplicaState::kPending && !replica.last_error.ok();
    std::string text = fmt::format("replica {}: {}", replica.id, state_name(replica.state));
    if (failed || crashed) {
      text += ": " + replica.last_error.message();
    }
    config_.store->add_event(replica.model,
                             {.time_unix = unix_now(),
                              .kind = failed    ? "Error"
                                      : crashed ? "Warning"
                                                : "Normal",
                              .text = text});
  }
  told_ = std::move(now);
}

// On the supervisor's thread.
void Launches::changed() {
  std::vector<std::shared_ptr<Waker>> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (supervisor_ == nullptr) {
      return;  // it is just being made
    }
    tell_gateway_locked(supervisor_->replicas());
    waiting.swap(waiting_);
    note_events(replicas_);
  }
  for (const auto& waker : waiting) {
    waker->wake();
  }
  if (config_.on_change) {
    config_.on_change();
  }
}

void Launches::shut_down() {
  supervisor_->shut_down();
}

}  // namespace tutti
