// Routes of API keys, beside those of another Management:
//   GET  /v1/admin/keys                   names, scopes, limits; never a key
//   POST /v1/admin/keys                   {"name", "scopes", "requests_per_minute", …} -> {"name",
//   "key"} POST /v1/admin/keys/NAME/rotate       {"grace_seconds"} -> {"name", "key"} DELETE
//   /v1/admin/keys/NAME
#pragma once
#include <memory>
#include <string>

#include "serve/management.h"
#include "supervise/keys.h"

namespace tutti {

class KeysApi final : public Management {
 public:
  KeysApi(Keys& keys, std::shared_ptr<Management> other) : keys_(keys), other_(std::move(other)) {}

  Match match(std::string_view method, std::string_view path) const override;
  std::unique_ptr<PendingAnswer> call(const ManagementCall& call) override;

  HttpResponse error(const ApiError& error) const override { return other_->error(error); }

 private:
  HttpResponse answer(const ManagementCall& call);
  HttpResponse list() const;
  HttpResponse add(const std::string& body);
  HttpResponse rotate(const std::string& name, const std::string& body);
  HttpResponse made(const std::string& name, const Result<std::string>& key) const;

  Keys& keys_;
  const std::shared_ptr<Management> other_;
};

}  // namespace tutti
