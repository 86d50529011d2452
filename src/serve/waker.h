// How other threads tell a connection that something arrived for it.
#pragma once

namespace tutti {

class Waker {
 public:
  virtual ~Waker() = default;
  /// Any thread, any number of times, also after the connection is gone. Never blocks for long.
  virtual void wake() = 0;
};

}  // namespace tutti
