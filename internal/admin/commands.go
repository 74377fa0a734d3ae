package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
)

// command is one row of the table of commands. Rows of one name are
// alternatives with different arguments, tried in their order.
type command struct {
	name   string
	arg    argument
	access access
	about  string
	run    runner
}

// usage is the command as help and documentation write it.
func (c command) usage() string { return c.name + c.arg.usage() }

// commands is everything the console does. Help, documentation and the test of
// who may run what fall out of it.
func commands() []command {
	return slices.Concat(controlCommands(), ownCommands(), driverCommands())
}

// controlCommands are PgBouncer's.
func controlCommands() []command {
	return []command{
		{"SHOW", theWordHelp, everyone, "lists the commands, as a notice", showHelp},
		{"SHOW", tableName, everyone, "shows one of the tables below", showTable},
		{"SHOW", parameterName, everyone, "shows one of the parameters below", showParameter},
		{"SET", clientParameter, everyone, "is ignored for the parameters below, with a notice", ignoreSet},
		{"SET", setting, adminsOnly, "changes a setting until the next RELOAD or restart", set},
		{"RELOAD", noArgument, adminsOnly, "reads the configuration file again; all or nothing", reload},
		{
			"PAUSE", optionalDatabase, adminsOnly, "closes server connections as they are released and lets clients wait; returns when all are closed",
			waiting(Controller.Pause),
		},
		{"RESUME", optionalDatabase, adminsOnly, "ends PAUSE, KILL and SUSPEND", onDatabase(Controller.Resume)},
		{"DISABLE", oneDatabase, adminsOnly, "refuses new clients of a database", onDatabase(Controller.Disable)},
		{"ENABLE", oneDatabase, adminsOnly, "ends DISABLE", onDatabase(Controller.Enable)},
		{"RECONNECT", optionalDatabase, adminsOnly, "replaces server connections as they are released", onDatabase(Controller.Reconnect)},
		{
			"KILL", optionalDatabase, adminsOnly, "drops all client and server connections at once; new clients wait for RESUME",
			onDatabase(Controller.Kill),
		},
		{"KILL_CLIENT", clientID, adminsOnly, "drops one client; its id is in SHOW CLIENTS", killClient},
		{"SUSPEND", noArgument, adminsOnly, "flushes all buffers and stops reading; returns when they are empty", suspend},
		{"SHUTDOWN", shutdownMode, adminsOnly, "ends Penstock, at once or when servers or clients are gone", shutdown},
		{
			"WAIT_CLOSE", optionalDatabase, adminsOnly, "waits until RECONNECT or RELOAD has replaced every server connection",
			waiting(Controller.WaitClose),
		},
	}
}

// ownCommands are Penstock's own, which PgBouncer does not have.
func ownCommands() []command {
	return []command{
		{
			"SWITCHOVER", oneDatabase, adminsOnly, "holds what would write and returns when nothing runs on the primary any more: " +
				"stop it then and promote a replica",
			switchOver,
		},
		{
			"EXPLAIN", routeOfText, everyone, "says where a text would run in a fresh session, and why, without running it; " +
				"the text goes to the end of the query string, semicolons included",
			explainRoute,
		},
	}
}

// driverCommands are accepted because drivers and tools send them unasked.
func driverCommands() []command {
	return []command{
		{"SELECT", theWordHelp, everyone, "is SHOW HELP", showHelp},
		{"SELECT", tableName, everyone, "is SHOW of a table", showTable},
		{"SELECT", parameterName, everyone, "is SHOW of a parameter", showParameter},
		{"SELECT", knownQuery, everyone, "answers what some drivers ask about types at start-up", selectKnown},
		{"SELECT", expressionList, everyone, "answers constants and the functions below", selectRow},
		{"BEGIN", anyWords, everyone, "begins a transaction, which means nothing here", begin("BEGIN")},
		{"START", anyWords, everyone, "is BEGIN", begin("START TRANSACTION")},
		{"COMMIT", anyWords, everyone, "ends the transaction", end("COMMIT")},
		{"END", anyWords, everyone, "is COMMIT", end("COMMIT")},
		{"ROLLBACK", anyWords, everyone, "ends the transaction; what was done stays done", end("ROLLBACK")},
		{"ABORT", anyWords, everyone, "is ROLLBACK", end("ROLLBACK")},
		{"SAVEPOINT", anyWords, everyone, "does nothing", nothing("SAVEPOINT")},
		{"RELEASE", anyWords, everyone, "does nothing", nothing("RELEASE")},
		{"RESET", anyWords, everyone, "does nothing", nothing("RESET")},
		{"UNLISTEN", anyWords, everyone, "does nothing", nothing("UNLISTEN")},
		{"CLOSE", anyWords, everyone, "closes a portal, or ALL", closeCursor},
		{"DEALLOCATE", anyWords, everyone, "forgets a prepared statement, or ALL", deallocate},
		{"DISCARD", anyWords, everyone, "with ALL, forgets all prepared statements", discard},
		{"COPY", anything, everyone, "is refused", refuseCopy},
	}
}

// onDatabase runs a command about one database or all.
func onDatabase(do func(Controller, string) error) runner {
	return func(_ context.Context, s *Session, args arguments) (result, error) {
		return result{}, do(s.console.controller, args.database)
	}
}

// waiting runs a command about one database or all that takes its time.
func waiting(do func(Controller, context.Context, string) error) runner {
	return func(ctx context.Context, s *Session, args arguments) (result, error) {
		return result{}, do(s.console.controller, ctx, args.database)
	}
}

// switchOver tells the administrator what to do next: Penstock promotes nothing.
func switchOver(ctx context.Context, s *Session, args arguments) (result, error) {
	if err := s.console.controller.SwitchOver(ctx, args.database); err != nil {
		return result{}, err
	}
	s.out.notice("the old primary is drained, and writes are held",
		"Stop it now, then promote a replica. Writes go on as soon as the new primary is found; "+
			"if there is none a minute after the command, they go on at the old one, or fail.")
	return result{}, nil
}

// explainRoute decides and runs nothing.
func explainRoute(_ context.Context, s *Session, args arguments) (result, error) {
	t, err := s.console.source.ExplainRoute(args.database, args.text)
	return result{rows: t.Rows}, err
}

func killClient(_ context.Context, s *Session, args arguments) (result, error) {
	return result{}, s.console.controller.KillClient(args.id)
}

func suspend(ctx context.Context, s *Session, _ arguments) (result, error) {
	return result{}, s.console.controller.Suspend(ctx)
}

func shutdown(_ context.Context, s *Session, args arguments) (result, error) {
	return result{}, s.console.controller.Shutdown(args.mode)
}

// set tags its answer with the setting, as PgBouncer does.
func set(_ context.Context, s *Session, args arguments) (result, error) {
	return result{tag: "SET " + args.key + "=" + args.value}, s.console.controller.Set(args.key, args.value)
}

func ignoreSet(_ context.Context, s *Session, _ arguments) (result, error) {
	s.out.notice("SET ignored", "")
	return result{}, nil
}

// reload shows the administrator the text of any error: it says what is wrong
// in which line of the file. PgBouncer's code is F0000, config_file_error.
func reload(ctx context.Context, s *Session, _ arguments) (result, error) {
	report, err := s.console.controller.Reload(ctx)
	if err != nil {
		if ctx.Err() != nil || isForClients(err) {
			return result{}, err
		}
		return result{}, (&pgerr.Error{
			Code:    "F0000",
			Message: "RELOAD failed, the configuration is unchanged",
			Detail:  err.Error(),
		}).With(err)
	}
	if report != "" {
		s.out.notice("configuration reloaded", report)
	}
	return result{}, nil
}

func showParameter(_ context.Context, s *Session, args arguments) (result, error) {
	return result{tag: "SHOW", rows: [][]any{{s.console.dictionary.parameters[args.key].value}}}, nil
}

func showTable(_ context.Context, s *Session, args arguments) (result, error) {
	if args.table.name == "version" {
		return result{tag: "SHOW", rows: [][]any{{Version}}}, nil
	}
	t, err := s.console.source.Table(args.table.name)
	return result{tag: "SHOW", rows: t.Rows}, err
}

func showHelp(_ context.Context, s *Session, _ arguments) (result, error) {
	s.out.notice("Console usage", helpText())
	return result{tag: "SHOW"}, nil
}

// helpText is the DETAIL of SHOW HELP, laid out as PgBouncer's.
func helpText() string {
	const perLine = 6
	names := []string{"HELP"}
	for _, t := range tables() {
		names = append(names, strings.ToUpper(t.name))
	}
	var b strings.Builder
	for len(names) > 0 {
		n := min(perLine, len(names))
		b.WriteString("\n\tSHOW " + strings.Join(names[:n], "|"))
		names = names[n:]
	}
	for _, c := range controlCommands() {
		if c.access == adminsOnly {
			b.WriteString("\n\t" + c.usage())
		}
	}
	for _, c := range ownCommands() {
		b.WriteString("\n\t" + c.usage())
	}
	return b.String()
}

func begin(tag string) runner {
	return func(_ context.Context, s *Session, _ arguments) (result, error) {
		s.inTransaction = true
		return result{tag: tag}, nil
	}
}

// end ends the transaction and with it the portals. ROLLBACK TO a savepoint
// does not end it.
func end(tag string) runner {
	return func(_ context.Context, s *Session, args arguments) (result, error) {
		if slices.Contains(args.words, "to") {
			return result{tag: tag}, nil
		}
		s.inTransaction = false
		clear(s.portals)
		return result{tag: tag}, nil
	}
}

func nothing(tag string) runner {
	return func(context.Context, *Session, arguments) (result, error) { return result{tag: tag}, nil }
}

func closeCursor(_ context.Context, s *Session, args arguments) (result, error) {
	name := strings.Join(args.words, " ")
	if name == "all" {
		clear(s.portals)
		return result{tag: "CLOSE CURSOR ALL"}, nil
	}
	if s.portals[name] == nil {
		return result{}, pgerr.UnknownPortal(name)
	}
	delete(s.portals, name)
	return result{tag: "CLOSE CURSOR"}, nil
}

func deallocate(_ context.Context, s *Session, args arguments) (result, error) {
	words := args.words
	if len(words) > 1 && words[0] == "prepare" {
		words = words[1:]
	}
	name := strings.Join(words, " ")
	if name == "all" {
		clear(s.statements)
		return result{tag: "DEALLOCATE ALL"}, nil
	}
	if s.statements[name] == nil {
		return result{}, pgerr.UnknownStatement(name)
	}
	delete(s.statements, name)
	return result{tag: "DEALLOCATE"}, nil
}

func discard(_ context.Context, s *Session, args arguments) (result, error) {
	what := strings.Join(args.words, " ")
	switch what {
	case "all":
		clear(s.statements)
		clear(s.portals)
	case "plans", "sequences", "temp", "temporary":
	default:
		return result{}, pgerr.Syntax(what)
	}
	return result{tag: "DISCARD " + strings.ToUpper(what)}, nil
}

func refuseCopy(context.Context, *Session, arguments) (result, error) {
	return result{}, pgerr.NotSupported("COPY in the console")
}
