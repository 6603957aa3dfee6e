use std::time::Instant;
#[tokio::main]
async fn main() {
    let g = local_process::Guardian::start().unwrap();
    let t = Instant::now();
    let s = local_supabase::Supabase::start(Default::default(), &g).await.unwrap();
    println!("start {:?} {}", t.elapsed(), s.database_url());
    let t = Instant::now();
    let s2 = local_supabase::Supabase::start(Default::default(), &g).await.unwrap();
    println!("second {:?}", t.elapsed());
    if std::env::args().count() > 1 {
        std::future::pending::<()>().await;
    }
    let t = Instant::now();
    s.stop().await.unwrap();
    println!("stop {:?}", t.elapsed());
    s2.stop().await.unwrap();
}
