package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// answerVersion is that of the heads of answers that we write, and the newest that we read.
const answerVersion = 1

// An Answer is the last one that an upstream gave to a letter.
type Answer struct {
	Status  int
	Header  http.Header
	Trailer http.Header
	Size    int64 // of the body, in bytes; -1: it shows when it is read
	// Body is the body as it came. One whose end did not come, or is beyond
	// Limits.MaxBody, ends with io.ErrUnexpectedEOF.
	Body io.ReadCloser
	// Truncated says that the end is missing, as far as that is known before it is read.
	Truncated bool
}

// An answerHead is what is kept of an answer beside its body.
type answerHead struct {
	Version   int          `json:"version"`
	Status    int          `json:"status"`
	Header    headerFields `json:"header,omitempty"`
	Trailer   headerFields `json:"trailer,omitempty"`
	Size      int64        `json:"size"` // of the body; -1: see Marked
	Truncated bool         `json:"truncated,omitempty"`
	// Marked says that one byte follows the body, for what was known at its end only:
	// markWhole or markBroken.
	Marked bool `json:"marked,omitempty"`
}

// Response gives the last answer to a letter. The error is ErrUnanswered where no upstream
// has answered it, and ErrUnknown.
func (o *Outbox) Response(ctx context.Context, id string) (*Answer, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return nil, err
	}
	data, body, err := kept.Response(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case data == nil:
		return nil, ErrUnanswered
	}
	head, err := openAnswer(data)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	switch {
	case head.Marked:
		body = &unmarked{ReadCloser: body}
	case head.Truncated:
		body = &broken{body}
	}
	return &Answer{
		Status: head.Status, Header: head.Header.header(), Trailer: head.Trailer.header(),
		Size: head.Size, Body: body, Truncated: head.Truncated,
	}, nil
}

func openAnswer(data []byte) (answerHead, error) {
	var head answerHead
	switch err := json.Unmarshal(data, &head); {
	case err != nil || head.Version < 1 || head.Status < 100 || head.Status > 999:
		return answerHead{}, ErrDamaged
	case head.Version > answerVersion:
		return answerHead{}, errors.New("the answer was kept by a newer version of Outrider, which can read it")
	}
	return head, nil
}

func (h answerHead) seal() ([]byte, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("writing the head of the answer: %w", err)
	}
	return data, nil
}

// A broken body is one whose end is not kept.
type broken struct{ io.ReadCloser }

// Read implements io.Reader.
func (b *broken) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
