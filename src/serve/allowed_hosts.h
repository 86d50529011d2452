// Which names a server answers to. A page of another site whose name was pointed at this server
// (DNS rebinding) is told by its name in Host, which browsers always send.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tutti {

class AllowedHosts {
 public:
  /// None but what is served anyway.
  AllowedHosts() = default;

  /// `list`: names or addresses as in Host, without a port ("chat.example", "10.0.0.5"), separated
  /// by commas; "*" for every name. The error names the wrong one.
  static Result<AllowedHosts> parse(std::string_view list);

  bool any_given() const { return all_ || !names_.empty(); }

  /// `host`: as HttpHead::host has it.
  bool allows(std::string_view host) const;

 private:
  bool all_ = false;
  std::vector<std::string> names_;
};

}  // namespace tutti
