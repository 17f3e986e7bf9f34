package outbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxLine is how long a line that is imported may be, in bytes: it is read as a whole.
const maxLine = 8 << 20

// A Line is one of a file that is imported: a call that is to be kept. It names the URL that
// the call goes to, or the upstream and the path on it.
type Line struct {
	Number     int // the first is 1
	Method     string
	URL        string
	Upstream   string
	Path       string // with the query
	Header     http.Header
	Connection string
	OrderKey   string
	DedupKey   string

	body []byte
}

// lineJSON is a line as it is written.
type lineJSON struct {
	Method     string                `json:"method"`
	URL        string                `json:"url"`
	Upstream   string                `json:"upstream"`
	Path       string                `json:"path"`
	Headers    map[string]lineValues `json:"headers"`
	Body       *string               `json:"body"`
	BodyBase64 *string               `json:"body_base64"`
	JSON       json.RawMessage       `json:"json"`
	OrderKey   string                `json:"order_key"`
	DedupKey   string                `json:"dedup_key"`
	Connection string                `json:"connection"`
}

// lineValues are those of a header: one, or several in a list.
type lineValues []string

// UnmarshalJSON implements json.Unmarshaler.
func (v *lineValues) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*v = lineValues{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return errors.New("headers: a value must be a string, or a list of strings")
	}
	*v = many
	return nil
}

// readLine reads a line. The error says what would be right.
func readLine(number int, data []byte) (*Line, error) {
	var j lineJSON
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&j); err != nil {
		return nil, lineError(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("must be one JSON object")
	}
	line := &Line{
		Number: number, Method: j.Method, URL: j.URL, Upstream: j.Upstream, Path: j.Path,
		Header: http.Header{}, Connection: j.Connection, OrderKey: j.OrderKey, DedupKey: j.DedupKey,
	}
	if line.Method == "" {
		line.Method = http.MethodPost
	}
	for name, values := range j.Headers {
		line.Header[http.CanonicalHeaderKey(name)] = values
	}
	if err := line.check(); err != nil {
		return nil, err
	}
	return line, line.readBody(&j)
}

// lineError is that of the decoder, in the words of who wrote the line.
func lineError(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("%s: must not be a %s", kind.Field, kind.Value)
	case errors.As(err, &kind):
		return errors.New("must be a JSON object")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func (l *Line) check() error {
	switch {
	case l.URL == "" && (l.Upstream == "" || l.Path == ""):
		return errors.New("must have url, or upstream and path")
	case l.URL != "" && (l.Upstream != "" || l.Path != ""):
		return errors.New("must have url, or upstream and path, and not both")
	case l.Path != "" && l.Path[0] != '/':
		return errors.New("path: must begin with /")
	}
	return nil
}

func (l *Line) readBody(j *lineJSON) (err error) {
	given := 0
	if j.Body != nil {
		given++
		l.body = []byte(*j.Body)
	}
	if j.BodyBase64 != nil {
		given++
		if l.body, err = base64.StdEncoding.DecodeString(*j.BodyBase64); err != nil {
			return errors.New("body_base64: must be base64 (RFC 4648 section 4)")
		}
	}
	if j.JSON != nil {
		given++
		l.body = j.JSON
		if l.Header.Get("Content-Type") == "" {
			l.Header.Set("Content-Type", "application/json")
		}
	}
	if given > 1 {
		return errors.New("must have one of body, body_base64 and json")
	}
	return nil
}
