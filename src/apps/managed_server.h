// A running server that commands ask over HTTP, and how they show what it says.
#pragma once
#include <string>
#include <vector>

#include "apps/options.h"
#include "base/json.h"
#include "http/client.h"

namespace tutti {

class ManagedServer {
 public:
  static Result<ManagedServer> find(const ManageOptions& options);

  /// The answer's body, of whatever kind. Errors are the server's own words.
  Result<Json> ask(const std::string& method,
                   const std::string& path,
                   const Json* body = nullptr) const;

 private:
  ManagedServer(http::Url url, http::Endpoint endpoint, std::string key)
      : url_(std::move(url)), endpoint_(std::move(endpoint)), key_(std::move(key)) {}

  Status refusal(int status, const Result<Json>& json) const;

  http::Url url_;
  http::Endpoint endpoint_;
  std::string key_;
};

/// A name as a part of a path.
std::string path_part(const std::string& name);

/// A member of an answer, "-" if there is none.
std::string text_of(const Json& object, const char* field);

/// Rows under a head, columns as wide as they must be.
void print_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tutti
