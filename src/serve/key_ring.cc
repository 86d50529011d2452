#include "serve/key_ring.h"

#include <algorithm>
#include <cmath>

#include "base/wall_clock.h"

namespace tutti {

namespace {

constexpr double kSecondsOfAMinute = 60;

const char* scope_name(KeyScope scope) {
  switch (scope) {
    case KeyScope::kInference:
      return "inference";
    case KeyScope::kManage:
      return "manage";
    case KeyScope::kMetrics:
      return "metrics";
    case KeyScope::kAny:
      break;
  }
  return "any";
}

ApiError too_much(const char* what, int64_t per_minute, double seconds) {
  return to_api_error(error(StatusCode::kOverloaded,
                            "this API key has used its {} {} a minute; try again in {:.0f} s",
                            per_minute,
                            what,
                            std::ceil(seconds)));
}

bool same_limits(const KeyLimits& a, const KeyLimits& b) {
  return a.requests == b.requests && a.tokens == b.tokens;
}

}  // namespace

void KeyUse::Bucket::refill(std::chrono::duration<double> passed) {
  const auto full = static_cast<double>(per_minute);
  level = std::min(full, level + full * passed.count() / kSecondsOfAMinute);
}

double KeyUse::Bucket::wait_for(double wanted) const {
  return per_minute == 0
             ? 0
             : std::max(0.0, wanted - level) * kSecondsOfAMinute / static_cast<double>(per_minute);
}

KeyUse::KeyUse(KeyLimits limits, Clock::time_point now)
    : last_(now),
      requests_{.per_minute = limits.requests, .level = static_cast<double>(limits.requests)},
      tokens_{.per_minute = limits.tokens, .level = static_cast<double>(limits.tokens)} {}

void KeyUse::refill_locked(Clock::time_point now) {
  const auto passed = std::max(now - last_, Clock::duration::zero());
  last_ += passed;
  requests_.refill(passed);
  tokens_.refill(passed);
}

std::optional<ApiError> KeyUse::begin(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  refill_locked(now);
  if (const double wait = tokens_.wait_for(1); wait > 0) {
    return too_much("tokens", tokens_.per_minute, wait);
  }
  if (const double wait = requests_.wait_for(1); wait > 0) {
    return too_much("requests", requests_.per_minute, wait);
  }
  requests_.level -= requests_.per_minute == 0 ? 0 : 1;
  return std::nullopt;
}

void KeyUse::spend(int64_t tokens, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  refill_locked(now);
  tokens_.level -= tokens_.per_minute == 0 ? 0 : static_cast<double>(tokens);
}

bool KeyGrant::allows(KeyScope scope) const {
  switch (scope) {
    case KeyScope::kInference:
      return inference;
    case KeyScope::kManage:
      return manage;
    case KeyScope::kMetrics:
      return metrics;
    case KeyScope::kAny:
      break;
  }
  return true;
}

void KeyRing::add_master(const KeyDigest& digest) {
  const std::lock_guard lock(mutex_);
  master_ = digest;
}

void KeyRing::always_require() {
  const std::lock_guard lock(mutex_);
  always_ = true;
}

void KeyRing::set(std::vector<KeyGrant> grants) {
  const std::lock_guard lock(mutex_);
  std::vector<Key> keys;
  for (KeyGrant& grant : grants) {
    const auto known = std::find_if(keys_.begin(), keys_.end(), [&](const Key& key) {
      return key.grant.name == grant.name && same_limits(key.grant.limits, grant.limits);
    });
    const bool limited = grant.limits.requests > 0 || grant.limits.tokens > 0;
    std::shared_ptr<KeyUse> use = !limited               ? nullptr
                                  : known == keys_.end() ? std::make_shared<KeyUse>(grant.limits)
                                                         : known->use;
    keys.push_back({.grant = std::move(grant), .use = std::move(use)});
  }
  keys_ = std::move(keys);
}

bool KeyRing::required() const {
  const std::lock_guard lock(mutex_);
  return required_locked();
}

bool KeyRing::has_master() const {
  const std::lock_guard lock(mutex_);
  return master_.has_value();
}

KeyRing::Pass KeyRing::check(const HttpHead& head, KeyScope scope) const {
  const std::lock_guard lock(mutex_);
  if (!required_locked()) {
    return {};
  }
  const auto given = digest_of_request(head);
  if (const auto* wrong = std::get_if<ApiError>(&given)) {
    return {.error = *wrong, .use = nullptr, .owner = {}};
  }
  const KeyDigest& digest = std::get<KeyDigest>(given);
  const auto refuse = [](Status why) {
    return Pass{.error = to_api_error(why), .use = nullptr, .owner = {}};
  };
  // All are compared, so that the time tells not even which one it is.
  const bool master = master_ && same_digest(*master_, digest);
  const Key* found = nullptr;
  for (const Key& key : keys_) {
    found = same_digest(key.grant.digest, digest) ? &key : found;
  }
  if (master) {
    return {.error = std::nullopt, .use = nullptr, .owner = to_hex(digest)};
  }
  if (found == nullptr) {
    return refuse(Status(StatusCode::kUnauthenticated,
                         "wrong API key: none of those that this server knows"));
  }
  const KeyGrant& grant = found->grant;
  if (grant.expires_unix != 0 && unix_now() >= grant.expires_unix) {
    return refuse(Status(StatusCode::kUnauthenticated, "this API key has expired"));
  }
  if (!grant.allows(scope)) {
    return refuse(
        error(StatusCode::kForbidden, "this API key lacks the scope \"{}\"", scope_name(scope)));
  }
  if (scope == KeyScope::kInference && found->use != nullptr) {
    return {.error = found->use->begin(), .use = found->use, .owner = to_hex(digest)};
  }
  return {.error = std::nullopt, .use = found->use, .owner = to_hex(digest)};
}

}  // namespace tutti
