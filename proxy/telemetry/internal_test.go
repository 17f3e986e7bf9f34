package telemetry

// Held is what the tail holds: calls that have not ended, and spans of them.
func (t *Telemetry) Held() (calls, spans int) {
	t.tail.mu.Lock()
	defer t.tail.mu.Unlock()
	return len(t.tail.calls), t.tail.spans
}

// The bounds of a tail.
const (
	MaxCallSpans = maxCallSpans
	MaxHeldSpans = maxHeldSpans
)
