import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;

/** A bit of everything that pgjdbc does. What it prints must not depend on what
 *  stands between it and PostgreSQL. */
public class Smoke {
    static String table = "smoke_" + UUID.randomUUID().toString().substring(0, 8);

    static void show(String what, Object value) {
        System.out.println(what + ": " + String.valueOf(value).replace(table, "TABLE"));
    }

    interface Step { void run() throws Exception; }

    static String state(Step step) throws Exception {
        try {
            step.run();
            return "no error";
        } catch (SQLException e) {
            return e.getSQLState();
        }
    }

    static String row(Statement st, String sql) throws SQLException {
        try (ResultSet rs = st.executeQuery(sql)) {
            if (!rs.next()) return "no row";
            StringBuilder b = new StringBuilder();
            for (int i = 1; i <= rs.getMetaData().getColumnCount(); i++) b.append(i > 1 ? "|" : "").append(rs.getString(i));
            return b.toString();
        }
    }

    public static void main(String[] args) throws Exception {
        for (String mode : new String[] {"", "&prepareThreshold=1", "&preferQueryMode=simple", "&preferQueryMode=extendedCacheEverything",
                "&binaryTransfer=false&prepareThreshold=0", "&autosave=always", "&reWriteBatchedInserts=true"}) {
            show("== mode", mode);
            everything(args[0] + mode);
        }
    }

    static void everything(String url) throws Exception {
        try (Connection c = DriverManager.getConnection(url); Statement st = c.createStatement()) {
            st.execute("DROP TABLE IF EXISTS " + table);
            st.execute("CREATE TABLE " + table + " (id serial PRIMARY KEY, t text, n numeric(10,2), ts timestamptz, a int[])");
            try (PreparedStatement ps = c.prepareStatement("INSERT INTO " + table + " (t, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int i = 0; i < 30; i++) {
                    ps.setString(1, "row " + i + " ' \\ \u00e4");
                    ps.setBigDecimal(2, new java.math.BigDecimal(i + ".50"));
                    ps.addBatch();
                }
                show("batch", ps.executeBatch().length);
                ResultSet keys = ps.getGeneratedKeys();
                int n = 0;
                while (keys.next()) n += keys.getInt(1);
                show("keys", n);
            }
            try (PreparedStatement ps = c.prepareStatement("SELECT id * ?, t FROM " + table + " WHERE id = ?")) {
                long sum = 0;
                for (int i = 1; i <= 30; i++) { // becomes a named statement on the way
                    ps.setInt(1, 3);
                    ps.setInt(2, i);
                    try (ResultSet rs = ps.executeQuery()) {
                        rs.next();
                        sum += rs.getLong(1);
                    }
                }
                show("prepared", sum);
            }
            c.setAutoCommit(false);
            try (Statement cursor = c.createStatement()) {
                cursor.setFetchSize(7);
                int n = 0;
                try (ResultSet rs = cursor.executeQuery("SELECT id FROM " + table + " ORDER BY id")) {
                    while (rs.next()) n += rs.getInt(1);
                }
                show("fetch size", n);
            }
            Savepoint sp = c.setSavepoint("sp");
            show("division", state(() -> st.executeQuery("SELECT 1/0")));
            c.rollback(sp);
            show("after savepoint", row(st, "SELECT 'alive'"));
            c.commit();
            show("unknown table", state(() -> st.executeQuery("SELECT * FROM nowhere")));
            c.rollback();
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            show("isolation", row(st, "SHOW transaction_isolation"));
            c.commit();
            c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            c.setReadOnly(true);
            show("read only", state(() -> st.execute("DELETE FROM " + table)));
            c.rollback();
            c.setReadOnly(false);
            c.setAutoCommit(true);

            c.setSchema("pg_catalog");
            for (int i = 0; i < 5; i++) show("schema", c.getSchema());
            c.setSchema("public");
            st.execute("SET TIME ZONE 'Asia/Tokyo'");
            for (int i = 0; i < 5; i++) show("zone", row(st, "SELECT '2026-07-01 12:00:00+00'::timestamptz::text"));
            c.setClientInfo("ApplicationName", "smoke test");
            show("application", row(st, "SHOW application_name"));

            // The statement of a changed table: pgjdbc prepares it again by itself.
            try (PreparedStatement ps = c.prepareStatement("SELECT * FROM " + table + " WHERE id = 1")) {
                for (int i = 0; i < 8; i++) {
                    try (ResultSet rs = ps.executeQuery()) {
                        rs.next();
                    }
                }
                st.execute("ALTER TABLE " + table + " ADD COLUMN more int DEFAULT 7");
                String columns = "";
                for (int i = 0; i < 8; i++) {
                    try (ResultSet rs = ps.executeQuery()) {
                        rs.next();
                        columns = rs.getMetaData().getColumnCount() + " " + rs.getInt("more");
                    }
                }
                show("changed", columns);
            }
            StringWriter out = new StringWriter();
            PGConnection pg = c.unwrap(PGConnection.class);
            pg.getCopyAPI().copyOut("COPY (SELECT id, t FROM " + table + " ORDER BY id LIMIT 3) TO STDOUT", out);
            show("copy out", out);
            show("copy in", pg.getCopyAPI().copyIn("COPY " + table + " (t) FROM STDIN", new StringReader("a\nb\nc\n")));
            show("bad copy", state(() -> pg.getCopyAPI().copyIn("COPY " + table + " (id) FROM STDIN", new StringReader("x\n"))));
            try (ResultSet rs = c.getMetaData().getColumns(null, "public", table, "%")) {
                List<String> names = new ArrayList<>();
                while (rs.next()) names.add(rs.getString("COLUMN_NAME") + ":" + rs.getString("TYPE_NAME"));
                show("columns", names);
            }
            try (Statement slow = c.createStatement()) {
                slow.setQueryTimeout(1);
                show("query timeout", state(() -> slow.executeQuery("SELECT pg_sleep(20)")));
            }
            show("after timeout", row(st, "SELECT 'alive'"));
            st.execute("LISTEN " + table);
            st.execute("NOTIFY " + table + ", 'hello'");
            show("notification", pg.getNotifications(3000)[0].getParameter());
            st.execute("CREATE TEMP TABLE temporary (a int)");
            st.execute("INSERT INTO temporary VALUES (1)");
            show("temporary", row(st, "SELECT a FROM temporary"));
            st.execute("DISCARD ALL");
            show("discarded", row(st, "SELECT to_regclass('temporary') IS NULL"));
            try (CallableStatement cs = c.prepareCall("{ ? = call upper(?) }")) {
                if (!url.contains("simple")) {
                    cs.registerOutParameter(1, Types.VARCHAR);
                    cs.setString(2, "call");
                    cs.execute();
                    show("call", cs.getString(1));
                }
            }
            st.execute("DROP TABLE " + table);
        }
    }
}
