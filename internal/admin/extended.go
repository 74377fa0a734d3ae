package admin

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
)

// maxPrepared bounds the statements, and also the portals, of one session.
const maxPrepared = 1024

// prepared is a prepared statement. Its statement is nil for the empty query.
type prepared struct {
	statement *statement
}

// columns are those of the statement's rows, nil if it answers with none.
func (p *prepared) columns() []stats.Column {
	if p.statement == nil {
		return nil
	}
	return p.statement.args.columns
}

// portal is a prepared statement with the formats of its results, and once it
// has run what is left of them.
type portal struct {
	name    string // of the prepared statement
	query   *prepared
	formats []int16
	ran     bool
	result  result
}

// extended answers a message of the extended protocol. An error is told at
// once and everything up to Sync skipped.
func (s *Session) extended(ctx context.Context, m pgproto3.FrontendMessage) error {
	var err error
	switch m := m.(type) {
	case *pgproto3.Parse:
		err = s.parse(m)
	case *pgproto3.Bind:
		err = s.bind(m)
	case *pgproto3.Describe:
		err = s.describe(m)
	case *pgproto3.Execute:
		err = s.execute(ctx, m)
	case *pgproto3.Close:
		err = s.close(m)
	default:
		return s.fatal(pgerr.Violation("unexpected message in the console"))
	}
	if err != nil {
		s.fail(err)
		s.skipping = true
	}
	return s.out.err
}

// sync ends an extended query: errors are over, and outside a transaction the
// portals too.
func (s *Session) sync() error {
	s.skipping = false
	if !s.inTransaction {
		clear(s.portals)
	}
	return s.ready()
}

func (s *Session) parse(m *pgproto3.Parse) error {
	if m.Name == "" {
		delete(s.statements, "")
	}
	statements, err := s.console.dictionary.parse(m.Query)
	switch {
	case err != nil:
		return err
	case len(statements) > 1:
		return &pgerr.Error{
			Code: pgerr.SyntaxError, Message: "cannot insert multiple commands into a prepared statement",
		}
	case len(m.ParameterOIDs) > 0:
		return noParameters()
	case s.statements[m.Name] != nil:
		return pgerr.DuplicateStatement(m.Name)
	case len(s.statements) >= maxPrepared:
		return tooMany("prepared statements")
	}
	p := &prepared{}
	if len(statements) > 0 {
		p.statement = statements[0]
	}
	s.statements[m.Name] = p
	s.out.send(&pgproto3.ParseComplete{})
	return nil
}

func noParameters() error {
	e := pgerr.NotSupported("a statement with parameters in the console")
	e.Hint = "Write the value into the statement."
	return e
}

func tooMany(what string) error {
	return &pgerr.Error{
		Code: pgerr.ProgramLimitExceeded, Message: "too many " + what,
		Detail: fmt.Sprintf("A session at the console may have %d.", maxPrepared),
	}
}

func (s *Session) bind(m *pgproto3.Bind) error {
	query := s.statements[m.PreparedStatement]
	if query == nil {
		return pgerr.UnknownStatement(m.PreparedStatement)
	}
	if len(m.Parameters) > 0 {
		return noParameters()
	}
	if m.DestinationPortal == "" {
		delete(s.portals, "")
	}
	if s.portals[m.DestinationPortal] != nil {
		return &pgerr.Error{
			Code:    "42P03", // duplicate_cursor
			Message: fmt.Sprintf("portal \"%s\" already exists", pgerr.Name(m.DestinationPortal)),
		}
	}
	if len(s.portals) >= maxPrepared {
		return tooMany("portals")
	}
	if err := checkFormats(m.ResultFormatCodes, len(query.columns())); err != nil {
		return err
	}
	s.portals[m.DestinationPortal] = &portal{
		name: m.PreparedStatement, query: query,
		formats: append([]int16(nil), m.ResultFormatCodes...),
	}
	s.out.send(&pgproto3.BindComplete{})
	return nil
}

// checkFormats accepts what PostgreSQL accepts: no code, one, or one for each
// column, each text or binary.
func checkFormats(formats []int16, columns int) error {
	if len(formats) > 1 && len(formats) != columns {
		return &pgerr.Error{
			Code:    pgerr.ProtocolViolation,
			Message: fmt.Sprintf("bind message has %d result formats but query has %d columns", len(formats), columns),
		}
	}
	for _, f := range formats {
		if f != textFormat && f != binaryFormat {
			return &pgerr.Error{
				Code: pgerr.InvalidParameterValue, Message: fmt.Sprintf("unsupported format code: %d", f),
			}
		}
	}
	return nil
}

func (s *Session) describe(m *pgproto3.Describe) error {
	switch m.ObjectType {
	case 'S':
		query := s.statements[m.Name]
		if query == nil {
			return pgerr.UnknownStatement(m.Name)
		}
		s.out.send(&pgproto3.ParameterDescription{})
		s.describeRows(query, nil)
	case 'P':
		p := s.portals[m.Name]
		if p == nil {
			return pgerr.UnknownPortal(m.Name)
		}
		s.describeRows(p.query, p.formats)
	default:
		return invalidSubtype("DESCRIBE", m.ObjectType)
	}
	return nil
}

func invalidSubtype(message string, kind byte) error {
	return &pgerr.Error{
		Code: pgerr.ProtocolViolation, Message: fmt.Sprintf("invalid %s message subtype %d", message, kind),
	}
}

func (s *Session) describeRows(query *prepared, formats []int16) {
	if query.columns() == nil {
		s.out.send(&pgproto3.NoData{})
		return
	}
	s.out.send(rowDescription(query.columns(), formats))
}

// execute runs a portal the first time and sends its rows, up to the limit.
// What is left stays for the next Execute; nothing runs twice.
func (s *Session) execute(ctx context.Context, m *pgproto3.Execute) error {
	p := s.portals[m.Portal]
	if p == nil {
		return pgerr.UnknownPortal(m.Portal)
	}
	if p.query.statement == nil {
		s.out.send(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	if p.ran && p.query.columns() == nil {
		return pgerr.NotNow(fmt.Sprintf("portal \"%s\" cannot be run", pgerr.Name(m.Portal)))
	}
	if !p.ran {
		p.ran = true
		r, err := s.run(ctx, p.query.statement)
		if err != nil {
			return err
		}
		p.result = r
	}
	return s.sendPortal(p, m.MaxRows)
}

// sendPortal sends up to limit rows of what p has left; 0 means all. As in
// PostgreSQL, a portal that has just sent its last row within the limit is
// suspended too, and complete only after the next Execute.
func (s *Session) sendPortal(p *portal, limit uint32) error {
	n := len(p.result.rows)
	suspended := limit > 0 && uint64(n) >= uint64(limit)
	if suspended {
		n = int(limit)
	}
	for _, row := range p.result.rows[:n] {
		if err := s.sendRow(p.query.statement, p.formats, row); err != nil {
			return err
		}
	}
	p.result.rows = p.result.rows[n:]
	if suspended {
		s.out.send(&pgproto3.PortalSuspended{})
		return nil
	}
	s.out.send(&pgproto3.CommandComplete{CommandTag: []byte(p.result.tag)})
	return nil
}

// close forgets a statement, with the portals made of it, or a portal. Manual,
// Message Flow: it is no error if there is none.
func (s *Session) close(m *pgproto3.Close) error {
	switch m.ObjectType {
	case 'S':
		delete(s.statements, m.Name)
		for name, p := range s.portals {
			if p.name == m.Name {
				delete(s.portals, name)
			}
		}
	case 'P':
		delete(s.portals, m.Name)
	default:
		return invalidSubtype("CLOSE", m.ObjectType)
	}
	s.out.send(&pgproto3.CloseComplete{})
	return nil
}
