package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"outrider/proxy/inbound"
	"outrider/proxy/socket"
)

// respondUpgrade passes a 101 on, and then bytes both ways until both sides
// have finished, or both have been silent for as long as the patience of x.
func (x *exchange) respondUpgrade(resp *http.Response, tunnels *tunnels) (up, down int64, err error) {
	upstream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return 0, 0, errors.New("the transport gave no connection with its 101")
	}
	defer func() { _ = upstream.Close() }()
	early, client, err := inbound.Detach(x.w)
	if err != nil {
		return 0, 0, err
	}
	defer tunnels.add(client, upstream)()

	upgrade := resp.Header["Upgrade"]
	header := make(http.Header)
	x.passOn(header, resp.Header)
	header["Connection"] = []string{"Upgrade"}
	header["Upgrade"] = upgrade
	ownResponseHeaders(header, &x.call, x.span.TraceID())
	head := bufio.NewWriter(client)
	_, _ = head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = header.Write(head)
	_, _ = head.WriteString("\r\n")
	if err := head.Flush(); err != nil {
		return 0, 0, &clientError{err}
	}
	up, down = relay(client, early, upstream, x.patience)
	return up, down, nil
}

// relay passes bytes both ways, each until its sender has finished, and closes
// each direction when it has: a half-closed connection stays useful. When
// nothing came from either side for as long as idle, both are closed: what is
// left of a tunnel whose ends have forgotten it must not stay for ever. The caller
// closes both, and so the direction that ends last needs no end of its own.
func relay(client net.Conn, early []byte, upstream io.ReadWriteCloser, idle time.Duration) (up, down int64) {
	w := watchSilence(idle, func() {
		_ = client.Close()
		_ = upstream.Close()
	})
	defer w.stop()
	done := make(chan struct{})
	var ended atomic.Bool // one of the directions has
	go func() {
		defer close(done)
		if len(early) > 0 {
			n, err := w.write(upstream, early)
			up += int64(n)
			if err != nil {
				ended.Store(true)
				return
			}
		}
		n, err := w.pass(upstream, client)
		up += n
		if !ended.Swap(true) {
			finish(upstream, err)
		}
	}()
	down, err := w.pass(client, upstream)
	if !ended.Swap(true) {
		finish(client, err)
	}
	<-done
	return up, down
}

// finish ends one direction: cleanly, or by closing the connection when its source broke.
// Where it is the sink that broke, that may have said something before, which the other
// direction has still to read: a provider that has had enough of an upload answers, and closes
// on what comes still.
func finish(to io.Closer, err error) {
	if _, sink := errors.AsType[*sinkError](err); sink {
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

// A sinkError is one of the connection that bytes went to.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// stalled is how long a side may take for what is waiting to be read by it. Between
// us and a slow reader are the buffers of two sockets, megabytes at times: that it
// reads is not to be seen before it has read a good part of them.
const stalled = 15 * time.Minute

// A silentWatch watches over two directions, and ends both when nothing has come
// through either of them for a time.
type silentWatch struct {
	limit   time.Duration
	began   time.Time
	last    atomic.Int64 // when something came last, since began
	writing atomic.Int32 // directions in which something came, and has not gone on yet
	timer   *time.Timer
	end     func()
}

func watchSilence(limit time.Duration, end func()) *silentWatch {
	w := &silentWatch{limit: limit, began: time.Now(), end: end}
	w.timer = time.AfterFunc(limit, w.look)
	return w
}

func (w *silentWatch) look() {
	silent := time.Since(w.began) - time.Duration(w.last.Load())
	switch {
	case silent < w.limit:
		w.timer.Reset(w.limit - silent)
	case silent < stalled && w.writing.Load() > 0:
		w.timer.Reset(min(w.limit, stalled-silent))
	default:
		w.end()
	}
}

func (w *silentWatch) write(to io.Writer, p []byte) (int, error) {
	w.writing.Add(1)
	defer w.writing.Add(-1)
	n, err := to.Write(p)
	if err != nil {
		err = &sinkError{err}
	}
	return n, err
}

func (w *silentWatch) note() { w.last.Store(int64(time.Since(w.began))) }

func (w *silentWatch) stop() { w.timer.Stop() }

// Between two TCP connections the kernel moves bytes by itself (splice): so much
// at a time, for nobody sees them pass meanwhile, and once so much has come without
// a pause. That takes a pipe and two deadlines, which a handshake and an answer of
// some pages are not worth. They go through a buffer, which is all that an idle
// tunnel holds.
const (
	spliced     = 256 << 10
	spliceAfter = 64 << 10
	plainBuffer = 16 << 10
)

// plainBuffers are for what cannot be spliced; the others are smallBuffers. Most
// tunnels carry one call, and leave theirs to the next.
var plainBuffers = sync.Pool{New: func() any { b := make([]byte, plainBuffer); return &b }}

// pass copies from src to dst until src ends.
func (w *silentWatch) pass(dst io.Writer, src io.Reader) (total int64, err error) {
	from, fromTCP := src.(*net.TCPConn)
	to, toTCP := dst.(*net.TCPConn)
	pool, splices := &plainBuffers, fromTCP && toTCP
	if splices {
		pool = &smallBuffers
		src, dst = socket.NewReader(from, socket.Raw(from)), socket.NewWriter(to, socket.Raw(to))
	}
	buffer := pool.Get().(*[]byte)
	defer pool.Put(buffer)
	for much := 0; ; { // bytes that came without a pause
		n, err := src.Read(*buffer)
		if n > 0 {
			w.note()
			m, werr := w.write(dst, (*buffer)[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
			w.note()
		}
		if much += n; n < len(*buffer) {
			much = 0
		}
		if err == nil && splices && much >= spliceAfter {
			var m int64
			m, err = w.splice(to, from)
			total += m
			much = 0
			if errors.Is(err, errors.ErrUnsupported) {
				splices, err = false, nil
			}
		}
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return total, err
		}
	}
}

// splice moves bytes until there is a pause.
func (w *silentWatch) splice(to, from *net.TCPConn) (total int64, err error) {
	pipe, err := socket.NewPipe(to, from)
	if err != nil {
		return 0, err
	}
	defer pipe.Close()
	for n := spliced; err == nil && n == spliced; total += int64(n) {
		n, err = w.move(pipe, from)
	}
	return total, err
}

// move moves a bounded number of bytes. Its reads end in time for what came to be noted: a
// slow stream is not silence.
func (w *silentWatch) move(pipe *socket.Pipe, from *net.TCPConn) (int, error) {
	w.writing.Add(1) // or it ends by the deadline
	defer w.writing.Add(-1)
	_ = from.SetReadDeadline(time.Now().Add(w.limit / 4))
	n, err := pipe.Move(spliced)
	_ = from.SetReadDeadline(time.Time{})
	if n > 0 {
		w.note()
	}
	if err != nil && pipe.Holds() > 0 {
		return n, &sinkError{err}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		err = nil
	}
	return n, err
}
