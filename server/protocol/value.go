package protocol

import "errors"

// ErrNoValue is the error for a text without a value.
var ErrNoValue = &BadFrame{"empty; send one JSON value"}

// DecodeValue reads a text that is one JSON value, and returns the part of p that holds the value, without white space around it. It has
// the same rules as the value of a message in DecodeV1. An error is a *BadFrame.
func (d *Decoder) DecodeValue(p []byte) (value []byte, err error) {
	if _, bad := d.start(p, 0); bad != nil {
		if errors.Is(bad, ErrEmpty) {
			bad = ErrNoValue
		}
		return nil, bad
	}
	v, err := d.json.ReadValue()
	if err != nil {
		return nil, notJSON(p, err)
	}
	if bad := d.checkEnd(p); bad != nil {
		return nil, bad
	}
	return v, nil
}
