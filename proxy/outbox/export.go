package outbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"
)

// exportedText is how long a body is at most that is exported as text, in bytes.
const exportedText = 1 << 20

// An exportedAnswer is that of a letter. Its body follows as further members.
type exportedAnswer struct {
	Status  int         `json:"status"`
	Headers http.Header `json:"headers"`
}

// Export writes the letters that a filter chooses as newline-delimited JSON: each is what List
// tells of it, and its last answer as "response", where it has one. A body is "body" if it is
// text of at most 1 MiB, and else "body_base64". One whose end is not kept is followed by
// "truncated", and one that is not what was written by "damaged".
func (o *Outbox) Export(ctx context.Context, f Filter, w io.Writer) error {
	out := bufio.NewWriter(w)
	for after := ""; ; {
		page, next, err := o.List(ctx, f, after, maxListed)
		if err != nil {
			return err
		}
		for i := range page {
			if err := o.export(ctx, &page[i], out); err != nil {
				return fmt.Errorf("exporting letter %s: %w", page[i].ID, err)
			}
		}
		if next == "" {
			return out.Flush()
		}
		after = next
	}
}

// export writes one letter.
func (o *Outbox) export(ctx context.Context, view *View, out *bufio.Writer) error {
	answer, err := o.Response(ctx, view.ID)
	switch {
	case errors.Is(err, ErrUnanswered) || errors.Is(err, ErrUnknown):
	case errors.Is(err, ErrDamaged):
		view.Damaged = true
	case err != nil:
		return err
	}
	line, err := json.Marshal(view)
	if err != nil {
		return err
	}
	if answer == nil {
		_, err = out.Write(append(line, '\n'))
		return err
	}
	head, err := json.Marshal(exportedAnswer{answer.Status, answer.Header})
	if err == nil {
		_, err = fmt.Fprintf(out, `%s,"response":%s,`, unclosed(line), unclosed(head))
	}
	if err == nil {
		err = exportBody(answer.Body, out)
	}
	if err == nil {
		_, err = out.WriteString("}}\n")
	}
	return errors.Join(err, answer.Body.Close())
}

// unclosed is an object that goes on.
func unclosed(object []byte) []byte { return bytes.TrimSuffix(object, []byte("}")) }

// exportBody writes a body as members of an object.
func exportBody(body io.Reader, out *bufio.Writer) error {
	begin, err := io.ReadAll(io.LimitReader(body, exportedText+1))
	if len(begin) <= exportedText && utf8.Valid(begin) {
		text, _ := json.Marshal(string(begin)) // a string can always be
		if _, err := fmt.Fprintf(out, `"body":%s`, text); err != nil {
			return err
		}
		return exportEnd(err, out)
	}
	if _, err := out.WriteString(`"body_base64":"`); err != nil {
		return err
	}
	coded := base64.NewEncoder(base64.StdEncoding, out)
	if _, err := coded.Write(begin); err != nil {
		return err
	}
	if err == nil {
		rest := &reading{from: body}
		if _, err := io.Copy(coded, rest); err != nil {
			return err
		}
		err = rest.err
	}
	if err := coded.Close(); err != nil {
		return err
	}
	if err := out.WriteByte('"'); err != nil {
		return err
	}
	return exportEnd(err, out)
}

// exportEnd tells how reading a body ended, unless it did so well.
func exportEnd(err error, out *bufio.Writer) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		_, err = out.WriteString(`,"truncated":true`)
	case errors.Is(err, ErrDamaged):
		_, err = out.WriteString(`,"damaged":true`)
	}
	return err
}

// reading ends with the first error, and keeps it apart from those of the writer.
type reading struct {
	from io.Reader
	err  error // nil at the end of what is read
}

// Read implements io.Reader.
func (r *reading) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && err != io.EOF {
		r.err, err = err, io.EOF
	}
	return n, err
}
