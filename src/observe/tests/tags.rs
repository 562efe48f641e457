//! Tags that applications write into comments.

use crate::observe::Tags;

fn read(text: &str) -> Tags {
    Tags::read(text.as_bytes()).unwrap_or_default()
}

#[test]
fn sqlcommenter_s_tags_are_read() {
    let tags = read(
        "SELECT * FROM \"polls_question\" /*action='index',application='shop%20web',controller='polls',\
         db_driver='django.db.backends.postgresql',framework='django%3A2.2.3',route='%5Epolls%2F%24',\
         traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/;",
    );
    assert_eq!(tags.application.as_deref(), Some("shop web"));
    assert_eq!(tags.route.as_deref(), Some("^polls/$"));
    assert_eq!(tags.controller.as_deref(), Some("polls"));
    assert_eq!(tags.action.as_deref(), Some("index"));
    assert_eq!(tags.traceparent.as_deref(), Some("00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"));
}

#[test]
fn tags_stand_before_and_behind() {
    for text in [
        "/*route='a'*/ SELECT 1",
        "-- x\n/* prose, too */ /*route='a'*/ SELECT 1",
        "SELECT 1 /*route='a'*/",
        "SELECT 1 /*route='a'*/ ; ",
        "SELECT 1 /*route='a'*/ /* more */",
        "SELECT '/* x */' /*controller='c', route = 'a'*/",
        "SELECT 1 /*howdah.tenant='t',route='a'*/",
        "/*application:Shop,controller:orders,route:a*/ SELECT 1",
        "SELECT 1 /*action:index,route:a*/",
        "/*route='a'*/ SELECT 1 /*route='b'*/",
    ] {
        assert_eq!(read(text).route.as_deref(), Some("a"), "{text}");
    }
}

#[test]
fn what_is_no_tag_is_passed_over() {
    let long = format!("SELECT 1 /*route='{}'*/", "a".repeat(2000));
    for text in [
        "SELECT 1",
        "SELECT 1 /* route */",
        "SELECT 1 /*Route='a'*/",
        "SELECT 1 /*route='a*/",
        "SELECT 1 /*route='%zz'*/",
        "SELECT 1 /*route='%ff'*/",
        "SELECT /*route='a'*/ 1",
        "SELECT 1 -- route='a'",
        "SELECT 1 /*other='a'*/",
        "*/",
        "/*/",
        "/*route=*/",
        "x*/*/*/",
        long.as_str(),
    ] {
        assert_eq!(Tags::read(text.as_bytes()), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read(text in "[/* a:='%,;\\-\n]{0,60}", bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
        Tags::read(text.as_bytes());
        Tags::read(&bytes);
    }
}
