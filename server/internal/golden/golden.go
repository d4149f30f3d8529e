// Package golden reads the transcripts of the original server, whose protocol is version 1 of PROTOCOL.md, and lists the
// deliberate differences between this server and the original.
//
// The transcripts (server/testdata/seed-golden) are JSON lines. values.jsonl has one row for each message that was sent into a
// room of two members, with the frames that each member received; basic.jsonl and order.jsonl have one row for each event of a
// scene.
package golden

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Value is a row of values.jsonl: one message and its outcome.
type Value struct {
	Sent       string   `json:"sent"`
	ToSender   []string `json:"to_sender"`
	ToPeer     []string `json:"to_peer"`
	CloseCode  int      `json:"sender_close"` // close code of the sender's connection; 0: it stayed open
	StillWorks bool     `json:"sender_still_works"`
}

// Event is a row of basic.jsonl or order.jsonl. Kind decides which of the other fields are set. Kinds are case, open, send, recv,
// tcp_drop, tcp_closed, summary and end.
type Event struct {
	Case       string `json:"case"`
	Seq        int    `json:"seq"`
	Ms         int    `json:"ms"` // milliseconds since the scene began
	Kind       string `json:"ev"`
	Connection string `json:"c"`
	Path       string `json:"path"`
	Op         string `json:"op"` // text or close
	Payload    string `json:"payload"`
	Code       int    `json:"code"`
	How        string `json:"how"` // how the TCP connection ended: eof or reset
	Note       string `json:"note"`
}

// LoadValues reads values.jsonl, and restores the messages that the recorder truncated.
func LoadValues(path string) ([]Value, error) {
	rows, err := load[Value](path)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		sent, err := rebuild(rows[i].Sent)
		if err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", path, i+1, err)
		}
		rows[i].Sent = sent
	}
	return rows, nil
}

// LoadEvents reads basic.jsonl or order.jsonl.
func LoadEvents(path string) ([]Event, error) {
	return load[Event](path)
}

func load[Row any](path string) ([]Row, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // an error does not matter, because the file was only read

	var rows []Row
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var row Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", path, len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	return rows, lines.Err()
}

// Nested returns a message whose value is arrays nested depth levels deep.
func Nested(depth int) string {
	return `{"message":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
}

// rebuild restores a message that the recorder truncated. The recorder kept only its beginning and its size:
// `{"message":[[[[...(212 bytes)`. All such messages are nested arrays, so the size determines the rest: two brackets for each
// level.
func rebuild(sent string) (string, error) {
	begin, size, cut := strings.Cut(sent, "...(")
	if !cut {
		return sent, nil
	}
	var n int
	if _, err := fmt.Sscanf(size, "%d bytes)", &n); err != nil {
		return "", fmt.Errorf("cut message %q has no size: %w", sent, err)
	}
	whole := Nested((n - len(Nested(0))) / 2)
	if len(whole) != n || !strings.HasPrefix(whole, begin) {
		return "", fmt.Errorf("cut message %q is not nested arrays", sent)
	}
	return whole, nil
}
