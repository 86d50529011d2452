// A binary heap of pointers that can also lose an element from its middle: each element knows its
// place.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

namespace tutti {

/// `Before` orders elements, the smallest is on top; `Place` is the size_t member of T that holds
/// its index, kNowhere while it is in no heap.
template <class T, auto Place, class Before>
class IndexedHeap {
 public:
  static constexpr size_t kNowhere = static_cast<size_t>(-1);

  bool empty() const { return items_.empty(); }

  size_t size() const { return items_.size(); }

  T* top() const { return items_.front(); }

  const std::vector<T*>& items() const { return items_; }

  void push(T* item) {
    items_.push_back(item);
    up(items_.size() - 1, item);
  }

  /// Nothing if it is not in the heap.
  void erase(T* item) {
    const size_t place = item->*Place;
    if (place == kNowhere) {
      return;
    }
    item->*Place = kNowhere;
    T* last = items_.back();
    items_.pop_back();
    if (last != item) {
      up(place, last);
      down(last->*Place, last);
    }
  }

 private:
  void put(size_t place, T* item) {
    items_[place] = item;
    item->*Place = place;
  }

  void up(size_t place, T* item) {
    while (place > 0 && Before()(*item, *items_[(place - 1) / 2])) {
      put(place, items_[(place - 1) / 2]);
      place = (place - 1) / 2;
    }
    put(place, item);
  }

  void down(size_t place, T* item) {
    while (true) {
      size_t child = 2 * place + 1;
      if (child >= items_.size()) {
        break;
      }
      if (child + 1 < items_.size() && Before()(*items_[child + 1], *items_[child])) {
        ++child;
      }
      if (!Before()(*items_[child], *item)) {
        break;
      }
      put(place, items_[child]);
      place = child;
    }
    put(place, item);
  }

  std::vector<T*> items_;
};

}  // namespace tutti
