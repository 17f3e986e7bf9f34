package inbound_test

import (
	"bufio"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/inbound"
)

// Neither between two requests nor while a call waits for its upstream.
func TestWaitingConnectionHoldsNoBuffer(t *testing.T) {
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			time.Sleep(time.Hour)
		}
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, s *inbound.Server, dial func() net.Conn) {
		conn := dial()
		synctest.Wait()
		if n := s.Holding(); n > 0 {
			t.Error("a new connection holds a buffer")
		}
		say(t, conn, head("GET / HTTP/1.1", "Host: a"))
		hear(t, bufio.NewReader(conn), "GET")
		synctest.Wait()
		if n := s.Holding(); n > 0 {
			t.Error("an idle connection holds a buffer")
		}
		say(t, conn, head("GET /slow HTTP/1.1", "Host: a"))
		synctest.Wait()
		if n := s.Holding(); n > 0 {
			t.Error("a call that waits holds a buffer")
		}
	})
}

// The stack of a connection grows once, before its first call, and not where the call needs
// it: here none does.
func TestStackGrowsBeforeTheFirstCall(t *testing.T) {
	addr := serving(t, true)
	newCaller(t, addr, get).call(t)                  // what there is one of for all of them
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it makes stacks smaller that are not used
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const many = 64
	for range many {
		newCaller(t, addr, get).call(t)
	}
	runtime.ReadMemStats(&after)
	if each := (int64(after.StackInuse) - int64(before.StackInuse)) / many; each < 8<<10 || each > 20<<10 { //nolint:gosec // no machine has that much
		t.Errorf("%d bytes, want about 16 KiB", each)
	}
}

// BenchmarkIdleConnection tells what a connection takes that has served a request
// and waits for another, its goroutine and our end of the socket included, and the
// client's end, which is in this process as well.
func BenchmarkIdleConnection(b *testing.B) {
	addr := serving(b, true)
	before := taken()
	const many = 1000
	r := bufio.NewReader(nil)
	for range many {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		r.Reset(conn)
		(&caller{conn, r, []byte(get)}).call(b)
	}
	after := taken()
	for b.Loop() {
		runtime.Gosched() // the figure is not about time
	}
	b.ReportMetric(float64(after-before)/many, "B/conn")
}

// taken is the memory of heap and stacks.
func taken() int64 {
	var m runtime.MemStats
	for range 4 { // stacks shrink by half at a time
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // no machine has that much
}
