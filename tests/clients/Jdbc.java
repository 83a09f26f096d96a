import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;

/**
 * The JDBC driver: fetch size (portals with a row limit), batches, prepare threshold, COPY, generated keys.
 *
 * <p>Usage: Jdbc.java HOST PORT USER DATABASE; prints one line of JSON. The driver speaks TCP only.
 */
public class Jdbc {
    static long queries;
    static long returned;
    static long written;
    static long failed;
    static long returning;
    static long portal;

    static Connection connect(String[] args, String... more) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", args[2]);
        for (int i = 0; i < more.length; i += 2) {
            properties.setProperty(more[i], more[i + 1]);
        }
        // The driver sends on its own: SET extra_float_digits and SET application_name.
        queries += 2;
        String host = args[0].contains(":") ? "[" + args[0] + "]" : args[0];
        return DriverManager.getConnection("jdbc:postgresql://" + host + ":" + args[1] + "/" + args[3], properties);
    }

    static long drain(ResultSet rows) throws SQLException {
        long n = 0;
        while (rows.next()) {
            n++;
        }
        rows.close();
        returned += n;
        return n;
    }

    /** With autocommit off: the driver's BEGIN comes before the first statement. */
    static void fetch(Connection connection, int total, int size) throws SQLException {
        try (PreparedStatement statement =
                connection.prepareStatement("select i, repeat('j', 60) from generate_series(1, ?) i")) {
            statement.setFetchSize(size);
            statement.setInt(1, total);
            long rows = drain(statement.executeQuery());
            queries++;
            portal += rows - rows % size;
        }
    }

    static void fetching(String[] args) throws SQLException {
        try (Connection connection = connect(args)) {
            connection.setAutoCommit(false);
            queries++; // BEGIN
            fetch(connection, 1050, 100);
            fetch(connection, 1000, 100);
            fetch(connection, 50, 100);
            fetch(connection, 100_000, 1000);
            fetch(connection, 50_001, 20_000);
            // Given up after 250 of 5,000 rows; the portal is closed with the next statement.
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(100);
                ResultSet rows = statement.executeQuery("select * from items");
                for (int i = 0; i < 250; i++) {
                    rows.next();
                }
                rows.close();
                queries++;
                returned += 300;
                portal += 200;
            }
            // maxRows: a row limit without a second execution.
            try (Statement statement = connection.createStatement()) {
                statement.setMaxRows(17);
                drain(statement.executeQuery("select * from items"));
                queries++;
            }
            connection.commit();
            queries++;
        }
    }

    static void prepared(String[] args) throws SQLException {
        try (Connection connection = connect(args, "prepareThreshold", "3")) {
            try (PreparedStatement statement =
                    connection.prepareStatement("select id, name from items where id <= ?")) {
                for (int i = 1; i <= 30; i++) {
                    statement.setInt(1, i);
                    drain(statement.executeQuery());
                    queries++;
                }
            }
            try (Statement statement = connection.createStatement()) {
                // Split by the driver into extended queries of one message each.
                boolean isRows = statement.execute("select 1; select id from items where id < 6; select 2");
                while (isRows) {
                    drain(statement.getResultSet());
                    queries++;
                    isRows = statement.getMoreResults();
                }
                try {
                    statement.executeQuery("select 1/0");
                } catch (SQLException expected) {
                    queries++;
                    failed++;
                }
            }
        }
        try (Connection connection = connect(args, "preferQueryMode", "simple")) {
            try (PreparedStatement statement =
                    connection.prepareStatement("select payload from items where id <= ?")) {
                for (int i = 1; i <= 10; i++) {
                    statement.setInt(1, i);
                    drain(statement.executeQuery());
                    queries++;
                }
            }
        }
    }

    static void batches(String[] args) throws SQLException {
        try (Connection connection = connect(args)) {
            connection.setAutoCommit(false);
            queries++; // BEGIN
            try (PreparedStatement statement = connection.prepareStatement("insert into work values (?, ?)")) {
                for (int i = 0; i < 2000; i++) {
                    statement.setInt(1, i);
                    statement.setString(2, "batch " + i);
                    statement.addBatch();
                }
                for (int n : statement.executeBatch()) {
                    written += n;
                    queries++;
                }
            }
            try (PreparedStatement statement =
                    connection.prepareStatement(
                            "insert into work values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int i = 0; i < 20; i++) {
                    statement.setInt(1, i);
                    statement.setString(2, "keys " + i);
                    written += statement.executeUpdate();
                    queries++;
                    returning += drain(statement.getGeneratedKeys());
                }
            }
            try (PreparedStatement statement = connection.prepareStatement("update work set name = ? where id < ?")) {
                statement.setString(1, "updated");
                statement.setInt(2, 100);
                written += statement.executeUpdate();
                queries++;
            }
            connection.commit();
            queries++;
        }
    }

    static void copy(String[] args) throws Exception {
        try (Connection connection = connect(args)) {
            var copies = connection.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder rows = new StringBuilder();
            for (int i = 0; i < 10_000; i++) {
                rows.append(i).append("\tcopied by JDBC\n");
            }
            written += copies.copyIn("copy work from stdin", new StringReader(rows.toString()));
            queries++;
            returned += copies.copyOut("copy items to stdout", new StringWriter());
            queries++;
        }
    }

    public static void main(String[] args) throws Exception {
        fetching(args);
        prepared(args);
        batches(args);
        copy(args);
        System.out.printf(
                "{\"queries\":%d,\"returned\":%d,\"written\":%d,\"failed\":%d,\"returning\":%d,\"portal\":%d}%n",
                queries, returned, written, failed, returning, portal);
    }
}
