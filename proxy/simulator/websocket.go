package simulator

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
)

// webSocket echoes frames (RFC 6455). It answers pings, and a close with a
// close; frames beyond maxFrame end the connection with code 1009.
func webSocket(s *Simulator, w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		respond(w, http.StatusUpgradeRequired, problem{Error: "this endpoint speaks WebSocket", Hint: "Upgrade: websocket and Sec-WebSocket-Key are needed"})
		return
	}
	conn, rw, stop := s.seize(w)
	defer stop()
	defer conn.Close()
	rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + acceptKey(key) + "\r\n\r\n")
	if rw.Flush() == nil {
		echoFrames(rw)
	}
}

// acceptKey is the proof that the handshake was understood, RFC 6455 section 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

const (
	maxFrame  = 1 << 20
	opClose   = 0x8
	opPing    = 0x9
	opPong    = 0xA
	finalFlag = 0x80
	maskFlag  = 0x80
)

var (
	errFrameTooLong = errors.New("frame too long")
	errBadFrame     = errors.New("bad frame")
)

// echoFrames runs until the peer closes or breaks the protocol.
func echoFrames(rw *bufio.ReadWriter) {
	for {
		first, payload, err := readFrame(rw.Reader)
		switch {
		case errors.Is(err, errFrameTooLong):
			writeFrame(rw.Writer, finalFlag|opClose, binary.BigEndian.AppendUint16(nil, 1009))
			return
		case errors.Is(err, errBadFrame):
			writeFrame(rw.Writer, finalFlag|opClose, binary.BigEndian.AppendUint16(nil, 1002))
			return
		case err != nil:
			return
		}
		switch first & 0xF {
		case opClose:
			writeFrame(rw.Writer, first, payload)
			return
		case opPing:
			err = writeFrame(rw.Writer, finalFlag|opPong, payload)
		case opPong:
		default: // text, binary and their continuations, with the fin bit they came with
			err = writeFrame(rw.Writer, first, payload)
		}
		if err != nil {
			return
		}
	}
}

// readFrame reads one frame of a client, which must be masked (section 5.2).
func readFrame(r io.Reader) (first byte, payload []byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return 0, nil, err
	}
	first = b[0]
	if first&0x70 != 0 || b[1]&maskFlag == 0 {
		return 0, nil, errBadFrame
	}
	n := uint64(b[1] &^ maskFlag)
	switch n {
	case 126:
		_, err = io.ReadFull(r, b[:2])
		n = uint64(binary.BigEndian.Uint16(b[:2]))
	case 127:
		_, err = io.ReadFull(r, b[:8])
		n = binary.BigEndian.Uint64(b[:8])
	}
	if err != nil {
		return 0, nil, err
	}
	if n > maxFrame {
		return 0, nil, errFrameTooLong
	}
	if first&0x8 != 0 && (n > 125 || first&finalFlag == 0) {
		return 0, nil, errBadFrame // a control frame is short and whole, section 5.5
	}
	var mask [4]byte
	if _, err := io.ReadFull(r, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return first, payload, nil
}

// writeFrame writes one frame of a server, which is never masked.
func writeFrame(w *bufio.Writer, first byte, payload []byte) error {
	w.WriteByte(first)
	switch n := len(payload); {
	case n < 126:
		w.WriteByte(byte(n))
	case n <= 0xFFFF:
		w.WriteByte(126)
		w.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	default:
		w.WriteByte(127)
		w.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	w.Write(payload)
	return w.Flush()
}
