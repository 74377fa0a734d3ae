package pgtest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"
)

// firstUserOID is PostgreSQL's FirstNormalObjectId (access/transam.h): from here
// on OIDs differ from one cluster to the next, so this one stands for all.
const firstUserOID = 16384

// typeName returns the name of a message's Go type: "Query".
func typeName(msg pgproto3.Message) string {
	return reflect.TypeOf(msg).Elem().Name()
}

// appendFrontendMessage appends the encoded message that a line of a send block
// means.
func appendFrontendMessage(dst []byte, name, text string) ([]byte, error) {
	if text == "" {
		text = "{}"
	}
	switch name {
	case "Raw":
		return appendRaw(dst, text)
	case "CopyData":
		data, err := decodeValue([]byte(text))
		if err != nil {
			return nil, err
		}
		return (&pgproto3.CopyData{Data: data}).Encode(dst)
	case "FunctionCall":
		return appendFunctionCall(dst, text)
	}
	msg, err := newFrontendMessage(name)
	if err != nil {
		return nil, err
	}
	if err := decodeStrict([]byte(text), msg); err != nil {
		return nil, err
	}
	return msg.Encode(dst)
}

func newFrontendMessage(name string) (pgproto3.FrontendMessage, error) {
	for _, msg := range []pgproto3.FrontendMessage{
		&pgproto3.Bind{}, &pgproto3.Close{}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{}, &pgproto3.Describe{},
		&pgproto3.Execute{}, &pgproto3.Flush{}, &pgproto3.Parse{}, &pgproto3.Query{}, &pgproto3.Sync{}, &pgproto3.Terminate{},
	} {
		if typeName(msg) == name {
			return msg, nil
		}
	}
	return nil, fmt.Errorf("no frontend message has the type %q", name)
}

// appendRaw appends the bytes of a JSON string of hex digits and spaces.
func appendRaw(dst []byte, text string) ([]byte, error) {
	var digits string
	if err := json.Unmarshal([]byte(text), &digits); err != nil {
		return nil, err
	}
	data, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	return append(dst, data...), err
}

// appendFunctionCall reads arguments like those of Bind; pgproto3 knows no JSON
// form of this message.
func appendFunctionCall(dst []byte, text string) ([]byte, error) {
	var call struct {
		Function         uint32
		ArgFormatCodes   []uint16
		Arguments        []json.RawMessage
		ResultFormatCode uint16
	}
	if err := decodeStrict([]byte(text), &call); err != nil {
		return nil, err
	}
	msg := pgproto3.FunctionCall{Function: call.Function, ArgFormatCodes: call.ArgFormatCodes, ResultFormatCode: call.ResultFormatCode}
	for _, argument := range call.Arguments {
		value, err := decodeValue(argument)
		if err != nil {
			return nil, err
		}
		msg.Arguments = append(msg.Arguments, value)
	}
	return msg.Encode(dst)
}

// decodeValue reads {"text":"abc"}, {"binary":"616263"} or null.
func decodeValue(data []byte) ([]byte, error) {
	var v *value
	if err := decodeStrict(data, &v); err != nil {
		return nil, err
	}
	switch {
	case v == nil:
		return nil, nil
	case v.Text != nil:
		return []byte(*v.Text), nil
	case v.Binary != nil:
		return hex.DecodeString(*v.Binary)
	}
	return nil, errors.New(`want {"text":"..."} or {"binary":"hex"}`)
}

func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("text after the JSON value")
	}
	return nil
}

// answerLine returns a backend message as one line of JSON without what differs
// from run to run: process ids, keys, OIDs of user objects, source lines.
func answerLine(msg pgproto3.BackendMessage) (string, error) {
	var shown any = msg
	switch msg := msg.(type) {
	case *pgproto3.ErrorResponse:
		shown = reducedError("ErrorResponse", msg)
	case *pgproto3.NoticeResponse:
		shown = reducedError("NoticeResponse", (*pgproto3.ErrorResponse)(msg))
	case *pgproto3.BackendKeyData:
		shown = &pgproto3.BackendKeyData{}
	case *pgproto3.NotificationResponse:
		shown = &pgproto3.NotificationResponse{Channel: msg.Channel, Payload: msg.Payload}
	case *pgproto3.CopyData:
		shown = copyDataLine{Type: "CopyData", value: newValue(msg.Data)}
	case *pgproto3.DataRow:
		shown = newDataRowLine(msg)
	case *pgproto3.CopyInResponse:
		shown = copyLine{"CopyInResponse", int(msg.OverallFormat), msg.ColumnFormatCodes}
	case *pgproto3.CopyOutResponse:
		shown = copyLine{"CopyOutResponse", int(msg.OverallFormat), msg.ColumnFormatCodes}
	case *pgproto3.FunctionCallResponse:
		shown = functionCallLine{Type: "FunctionCallResponse", Result: newValue(msg.Result)}
	case *pgproto3.RowDescription:
		shown = maskRowDescription(msg)
	case *pgproto3.ParameterDescription:
		oids := make([]uint32, len(msg.ParameterOIDs))
		for n, oid := range msg.ParameterOIDs {
			oids[n] = min(oid, firstUserOID)
		}
		shown = &pgproto3.ParameterDescription{ParameterOIDs: oids}
	}
	line, err := json.Marshal(shown)
	return string(line), err
}

type errorLine struct{ Type, Severity, Code, Message string }

func reducedError(name string, e *pgproto3.ErrorResponse) errorLine {
	return errorLine{Type: name, Severity: e.Severity, Code: e.Code, Message: e.Message}
}

// value is a value of a row as JSON: what is printable as text, all else as hex
// digits.
type value struct {
	Text   *string `json:"text,omitempty"`
	Binary *string `json:"binary,omitempty"`
}

// newValue returns nil for NULL. pgproto3's own form shows bytes that are not
// UTF-8 as U+FFFD, and the NULL of a FunctionCallResponse as an empty string.
func newValue(data []byte) *value {
	if data == nil {
		return nil
	}
	special := func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' && r != '\n' }
	text := string(data)
	if utf8.ValidString(text) && strings.IndexFunc(text, special) < 0 {
		return &value{Text: &text}
	}
	digits := hex.EncodeToString(data)
	return &value{Binary: &digits}
}

type dataRowLine struct {
	Type   string
	Values []*value
}

func newDataRowLine(msg *pgproto3.DataRow) dataRowLine {
	line := dataRowLine{Type: "DataRow", Values: make([]*value, len(msg.Values))}
	for n, data := range msg.Values {
		line.Values[n] = newValue(data)
	}
	return line
}

type functionCallLine struct {
	Type   string
	Result *value
}

// copyLine has the overall format, which pgproto3's own form leaves out.
type copyLine struct {
	Type              string
	OverallFormat     int
	ColumnFormatCodes []uint16
}

type copyDataLine struct {
	Type string
	*value
}

func maskRowDescription(msg *pgproto3.RowDescription) *pgproto3.RowDescription {
	masked := &pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(msg.Fields))}
	for n, field := range msg.Fields {
		field.TableOID = min(field.TableOID, firstUserOID)
		field.DataTypeOID = min(field.DataTypeOID, firstUserOID)
		masked.Fields[n] = field
	}
	return masked
}
