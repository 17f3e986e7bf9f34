import java.net.HttpURLConnection;
import java.net.URI;

public class URLConnection {
    public static void main(String[] args) throws Exception {
        var connection = (HttpURLConnection) URI.create(args[0]).toURL().openConnection();
        System.exit(connection.getResponseCode() == 200 ? 0 : 1);
    }
}
