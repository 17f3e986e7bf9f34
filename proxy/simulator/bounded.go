package simulator

// A bounded table holds at most most entries and forgets the oldest first.
// Entries are never removed otherwise. Its owner's lock guards it.
type bounded[V any] struct {
	most    int
	entries map[string]V
	order   []string // oldest first; a ring once the table is full
	oldest  int
}

func newBounded[V any](most int) *bounded[V] {
	return &bounded[V]{most: max(most, 1), entries: make(map[string]V)}
}

func (b *bounded[V]) get(key string) (V, bool) {
	v, ok := b.entries[key]
	return v, ok
}

func (b *bounded[V]) put(key string, v V) {
	if _, ok := b.entries[key]; !ok {
		if len(b.order) < b.most {
			b.order = append(b.order, key)
		} else {
			delete(b.entries, b.order[b.oldest])
			b.order[b.oldest] = key
			b.oldest = (b.oldest + 1) % b.most
		}
	}
	b.entries[key] = v
}

func (b *bounded[V]) clear() {
	b.entries, b.order, b.oldest = make(map[string]V), nil, 0
}
