package proxy

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"

	"outrider/policy"
)

// streamed is a request whose body of unknown length is on its way.
func streamed(t *testing.T, body io.ReadCloser, limit int64, total *kept) (out *http.Request, release func()) {
	t.Helper()
	in := httptest.NewRequest("PUT", "/x", nil)
	in.ContentLength, in.Body = -1, body
	out = outbound(context.Background(), in, route{scheme: "http", host: "api.test", target: target{path: "/x"}})
	release, err := prepareBody(policy.WithCall(t.Context(), &policy.Call{}), in, out, limit, total)
	if err != nil {
		t.Fatal(err)
	}
	return out, release
}

// inParts is a body that comes in parts of any length.
func inParts(body []byte, chance *rand.Rand) io.ReadCloser {
	return sourceFunc(func(p []byte) (int, error) {
		n := copy(p[:min(len(p), 1+chance.IntN(largeBuffer))], body)
		if body = body[n:]; len(body) == 0 {
			return n, io.EOF
		}
		return n, nil
	})
}

// readIn reads up to some bytes, as many at a time as the reader happens to ask for.
func readIn(t *testing.T, r io.Reader, most int, chance *rand.Rand) (data []byte) {
	t.Helper()
	for len(data) < most {
		p := make([]byte, min(most-len(data), 1+chance.IntN(3*largeBuffer/2)))
		n, err := r.Read(p)
		data = append(data, p[:n]...)
		if err == io.EOF {
			return data
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func TestEachAttemptReadsTheWholeOfAStreamedBody(t *testing.T) {
	for seed := range uint64(50) {
		chance := rand.New(rand.NewPCG(seed, 0))
		body := make([]byte, chance.IntN(5*largeBuffer))
		for i := range body {
			body[i] = byte(chance.Uint32())
		}
		total := &kept{}
		out, release := streamed(t, inParts(body, chance), int64(len(body)), total)
		attempt := out.Body
		for range 3 {
			if got := readIn(t, attempt, chance.IntN(len(body)+1), chance); !bytes.HasPrefix(body, got) {
				t.Fatalf("seed %d: an attempt read something else", seed)
			}
			_ = attempt.Close()
			var err error
			if attempt, err = out.GetBody(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if got := readIn(t, attempt, len(body)+1, chance); !bytes.Equal(got, body) {
			t.Errorf("seed %d: the last attempt read %d bytes, and not those %d that came", seed, len(got), len(body))
		}
		if release(); total.bytes.Load() != 0 {
			t.Errorf("seed %d: %d bytes are still held", seed, total.bytes.Load())
		}
	}
}

func TestBodyThatOutgrowsTheLimitReachesItsAttemptWhole(t *testing.T) {
	for seed := range uint64(50) {
		chance := rand.New(rand.NewPCG(seed, 1))
		body := make([]byte, 4*largeBuffer+chance.IntN(largeBuffer))
		for i := range body {
			body[i] = byte(chance.Uint32())
		}
		total := &kept{}
		out, release := streamed(t, inParts(body, chance), int64(chance.IntN(3*largeBuffer)), total)
		if got := readIn(t, out.Body, len(body)+1, chance); !bytes.Equal(got, body) {
			t.Errorf("seed %d: the attempt read %d bytes, and not those %d that came", seed, len(got), len(body))
		}
		if _, err := out.GetBody(); err != errBodyGone {
			t.Errorf("seed %d: it can be had again: %v", seed, err)
		}
		if release(); total.bytes.Load() != 0 {
			t.Errorf("seed %d: %d bytes are still held", seed, total.bytes.Load())
		}
	}
}

// The buffer that a read is still filling when its call has ended is nobody else's before
// that read ends: what comes then would be in another call's body.
func TestReadThatOutlivesItsCallKeepsItsBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		var filling []byte
		out, release := streamed(t, sourceFunc(func(p []byte) (int, error) {
			filling = p
			<-end
			return copy(p, "late"), io.EOF
		}), 1<<20, &kept{})
		go func() { _, _ = out.Body.Read(make([]byte, 8)) }()
		synctest.Wait()
		_ = out.Body.Close()
		release()
		for range 8 {
			if other := largeBuffers.Get().(*[]byte); &(*other)[0] == &filling[0] {
				t.Fatal("somebody else has it")
			}
		}
		close(end)
		synctest.Wait()
	})
}

// A body that was remembered left three times its length to the garbage collection: what
// uploads of a GiB added to the memory of the process were these, one after the other.
func TestRememberedBodyAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what is in pools")
	}
	const length = 1 << 20
	upload := func() {
		left := length
		out, release := streamed(t, sourceFunc(func(p []byte) (int, error) {
			n := min(len(p), left)
			if left -= n; left == 0 {
				return n, io.EOF
			}
			return n, nil
		}), length, &kept{})
		defer release()
		if n, err := io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{out.Body}); n != length || err != nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	upload()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const uploads = 5
	for range uploads {
		upload()
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / uploads; got > length/8 {
		t.Errorf("an upload of a MiB leaves %d bytes behind", got)
	}
}
