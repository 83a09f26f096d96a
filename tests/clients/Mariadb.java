import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/**
 * MariaDB Connector/J: text and binary protocol, with and without a fetch size, several statements.
 *
 * <p>Usage: Mariadb.java HOST PORT USER DATABASE; prints one line of JSON: of statements on `items` alone, since the driver asks for much
 * besides when it connects. It speaks TCP only. With CLIENT_TLS in the environment by TLS.
 */
public class Mariadb {
    static long queries;
    static long returned;

    static Connection connect(String[] args, String more) throws SQLException {
        return DriverManager.getConnection(
                "jdbc:mariadb://" + args[0] + ":" + args[1] + "/" + args[3] + "?user=" + args[2] + more
                        + (System.getenv("CLIENT_TLS") == null ? "" : "&useSsl=true&trustServerCertificate=true"));
    }

    static void drain(ResultSet rows) throws SQLException {
        while (rows.next()) {
            returned++;
        }
        rows.close();
    }

    static void work(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            queries++;
            drain(statement.executeQuery("SELECT id, name FROM items WHERE id <= 100"));
            // Row by row, as they come.
            statement.setFetchSize(50);
            queries++;
            drain(statement.executeQuery("SELECT id, payload FROM items"));
            // Given up: the driver reads what is left of it.
            queries++;
            ResultSet rows = statement.executeQuery("SELECT id, payload FROM items WHERE id <= 1000");
            rows.next();
            rows.close();
            returned += 1000;
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT name FROM items WHERE id < ?")) {
            for (int i = 0; i < 100; i++) {
                statement.setInt(1, i);
                queries++;
                drain(statement.executeQuery());
            }
            statement.setFetchSize(10);
            statement.setInt(1, 3001);
            queries++;
            drain(statement.executeQuery());
        }
    }

    public static void main(String[] args) throws SQLException {
        try (Connection connection = connect(args, "")) {
            work(connection);
        }
        try (Connection connection = connect(args, "&useServerPrepStmts=true")) {
            work(connection);
        }
        try (Connection connection = connect(args, "&allowMultiQueries=true");
                Statement statement = connection.createStatement()) {
            queries += 3;
            boolean isRows =
                    statement.execute(
                            "SELECT id FROM items WHERE id < 5; SELECT name FROM items WHERE id < 30; SELECT id FROM items WHERE FALSE");
            while (isRows) {
                drain(statement.getResultSet());
                isRows = statement.getMoreResults();
            }
        }
        System.out.println(
                "{\"queries\": " + queries + ", \"returned\": " + returned + ", \"written\": 0, \"failed\": 0}");
    }
}
