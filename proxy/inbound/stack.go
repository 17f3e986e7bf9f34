package inbound

// deep is what has the stack of a connection grow to 16 KiB, in bytes: a stack doubles until
// there is room for the next function, and a call by HTTP/1.1 through the whole chain, with
// TLS to the upstream, takes between 8 and 16. It must not be more: stacks of 32 KiB come from
// the heap, under its lock, where those up to 16 are kept by each processor (src/runtime/stack.go,
// _NumStackOrders), and garbage collection, which halves what is not used, has once more to do.
const deep = 8 << 10

// Deepen has the stack of this goroutine grow at once to what a call needs. By itself it
// grows by doubling, and each time what is on it is found and moved, call by call: that is
// cheap where hardly anything is on it, and dear in the middle of a chain of policies. It is
// for who serves calls in goroutines of their own, as the server of HTTP/2 does.
func Deepen() { deepen(false) }

// deepen has the room for what it does not do, and so need not be cleared.
//
//go:noinline
func deepen(occupied bool) {
	if occupied {
		var room [deep]byte
		occupy(&room)
	}
}

// occupy keeps the compiler from seeing that nothing of the room is used.
//
//go:noinline
func occupy(*[deep]byte) {}
